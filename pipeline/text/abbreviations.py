"""Words after which a full stop may not end a sentence, in several languages: data for `pipeline.text.sentences`.

An abbreviation missing here causes a wrong split only if a capital letter or a digit follows.
"""

from __future__ import annotations

# The sentence always continues: with a name after a title, or an example after "e.g.".
BEFORE_ANY_WORD = frozenset(
    """
    Mr Mrs Ms Mx Dr Drs Prof Rev Fr Hon Gen Col Maj Capt Lt Sgt Cmdr Cpl Pvt Adm Gov Sen Rep Pres Supt Insp St Ste Mt Ft
    Messrs Mme Mmes Mlle Mlles Msgr vs viz approx ca cf eg ie N.B resp esp incl excl
    Hr Hrn Frl Fam bzw evtl ggf sog vgl Vgl geb gest Bhf Ing Dipl Mag Hl hl
    Sra Srta Dra Ud Uds Vd Vds Exc Excmo Ilmo Lic Gral Sto Sta
    Sig Sigg Dott Avv Geom Rag Egr Gent Spett
    Dhr Mevr Mej Drs Mr dhr mevr bijv
    np tzn tzw im ul al pl św ks inż mgr
    им ул пер пл просп см ср проф акад доц инж адм ген полк напр т.е т.н
    डॉ श्री प्रो
    """.split()
)

# Abbreviations only before a number: "No. 5", "Fig. 3", "pp. 12", "Jan. 5". Before a word, they are ordinary words.
BEFORE_NUMBER = frozenset(
    """
    No Nos no nos Nr Nrn nr Fig Figs fig figs Abb Tab tab Eq Eqs eq eqs Vol Vols vol vols Bd Bde p pp P PP S s f ff
    Ch Chs ch chs Chap chap Kap kap Sec Secs sec Sect sect Art Arts art Abs Ed ed Op op Pt pt Par par Lib lib Cap cap
    Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Okt Nov Dec Dez janv févr avr juil déc
    núm Núm pág págs Pág n N nn str стр рис табл гл разд т вып č č.p ca approx c
    """.split()
)

# These occur both within and at the end of a sentence; the next word decides.
ANYWHERE = frozenset(
    """
    Inc Ltd Co Corp Cos Bros Jr Sr Esq Dept Univ Assn Ave Blvd Rd Sq Bldg al Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct
    Nov Dec Mass Conn Calif Penn Mich Wash Str GmbH Mio Mrd Tsd Cía Cia г гг в вв тыс млн руб
    """.split()
)

# Words that often begin sentences and rarely names: after "U.S." or "Inc.", they start a new sentence.
SENTENCE_STARTERS = frozenset(
    """
    The This That These Those There Then Thus They Their He She It Its We You Your His Her Our My But And Or If
    When While Where Why Who What Which How As At After Before Because By For From In On Of To With Without
    However Although Though Some Many Most Such So Not No Now Once Only Another An Both Each All One Yet Nor Since
    Until Under Here Let Meanwhile Der Die Das Den Dem Ein Eine Einen Er Sie Es Wir Ich Ihr Im Am Um Und Aber Doch
    Auch Als Wenn Nach Bei Mit Für Auf Zu Le La Les Un Une Des Il Elle Ils Elles On Nous Vous Je Ce Cette Ces Mais
    Et Dans Pour Sur Avec Quand Si El Los Las Una Unos Pero En Con Por Para Como Cuando Su Sus Lo Al Gli Uno Ma
    Per Nel Nella Het Een De Hij Zij Maar Он Она Оно Они Это Эти Но В На По За Из Как Когда Если Мы Вы Я Его Её Их
    Так Там Тогда Поэтому
    """.split()
)

# For text without usable case: abbreviations after which the sentence always continues (in cased text, the lower-case
# letter after them shows it), and starters that more often continue a sentence after "p.m." than begin one.
BEFORE_SMALL_LETTERS = frozenset("e.g i.e a.k.a w.r.t z.b d.h u.a v.a o.ä p.ej т.е т.н".split())
NO_SURE_STARTERS = frozenset(
    "after and as at because before but by for from if in of on or since so than to under until when where with".split()
)

# German ordinals end in a full stop: "am 3. Oktober", "im 19. Jahrhundert".
AFTER_ORDINAL = frozenset(
    """
    Januar Jänner Februar März April Mai Juni Juli August September Oktober November Dezember Jahrhundert Jahrhunderts
    Jahrtausend Mal Kapitel Auflage Platz Klasse Stock Weltkrieg Weltkriegs Weltkrieges
    """.split()
)

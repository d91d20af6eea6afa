from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rained.", "Nobody came!", "Was it over?", "It was."],
        ["He said: “It is over.”", "Then he left.", "(Nobody saw him.)", "It was late."],
        ['"Is it?" he asked.', '"It is!"', "She nodded…", "They left."],
        ["Mr. Brown and Dr. A. B. Smith of St. Ives met on Jan. 5 at 3.30 p.m. in Washington."],
        ["See Fig. 3 and eq. 7, i.e. the U.S. Navy's.", "Then go on."],
        ["It cost 3.50 dollars.", "12 were sold."],
        ["Wait... what is this?", "Nothing."],
        ["A sentence ends here.", "¿Y ahora?", "«Rien.»", "Ende."],
        ["一つ目です。", "「二つ目です。」", "三つ目！", "終わり"],
        ["यह एक वाक्य है।", "यह दूसरा है॥", "अंत"],
        ["هل هذا سؤال؟", "نعم۔", "لا"],
        ["No stop at all"],
        ["Words and stops apart .", "The next one !", "And ( the ' last ' .", "One . . . two ."],
        ["Version 2.0 of file.txt is at example.org now."],
        ["He went to New York City.", "I stayed."],
        # Abbreviations that may end a sentence: the next word tells.
        ["He lives in the U.S. Army's barracks at 5 p.m. Monday."],
        [
            "He lives in the U.S.",
            "The house is old.",
            "It was built by Acme Inc.",
            "They sold it to Bell Labs Inc. Boston.",
        ],
        ["She is John Smith Jr. Smith's wife, Ph.D. Miller said.", "He is a Ph.D.", "She is not."],
        ["Apples, pears etc.", "Plums are blue."],
        # Numbers, ordinals, items, references.
        ["Is it?", "No.", "The answer is on p. 12 of vol. XV, No. 7.", "I said no.", "I am sure."],
        ["It was two days ago.", "I went home in 1990.", "The next year I left."],
        ["1. The first item.", "2. The second one.", "IV. A Roman number.", "A. A letter.", "The end."],
        ["Pi is 3.14159 or so.", "10.5 is more."],
        ["It is known.[12]", "It was proved later.[3][4]", "See [5]. for more."],
        # Initials and what looks like them.
        ["J. R. R. Tolkien and C. S. Lewis met.", "Take vitamin C.", "It helps.", "So said I.", "They laughed."],
        [
            "Call tf.function.",
            "Then read file.txt.",
            "Or see https://example.org/a?b=c!d for more.",
            "Mail me@example.org.",
        ],
        # Quotations, emphasis, ellipses, dashes.
        ["“Stop!” cried she.", "“Why?”", "_Because._", "He _knew._ and left."],
        ["Well. . . I think so... but no.", "Wait...", "Then he came…", "Yes?!", "No!!!", "’Twas so."],
        ["'Is it?'", "'It is.'", "(He left.)", "[He came back.]", "**Bold.**", "— Said he.", "$5 is not much."],
        ["Oh! _that_ man!", "`__call__()` is called.", "__init__ is not."],
        # Other languages.
        ["Am 3. Oktober kam Hr. Dr. Müller, d. h. der Arzt, z. B. mit dem Zug.", "Er blieb bis zum 19. Jahrhundert."],
        ["Das kostet ca. 5 Mio. Euro bzw. mehr.", "„Wirklich?“", "„Ja!“ sagte er.", "Es waren 20.", "Übrigens nicht."],
        ["M. Dupont et Mme. Curie sont là.", "« Vraiment ? »", "« Oui ! » dit-il.", "À demain."],
        ["El Sr. García llegó.", "¿Qué dijo?", "¡Nada!", "Véase pág. 5."],
        ["Это г. Москва, ул. Ленина.", "А. С. Пушкин родился в 1799 г.", "Он умер.", "— Да?", "«Нет!»"],
        ["Τι είναι αυτό;", "Δεν ξέρω.", "Ο κόσμος: μεγάλος."],
        ["وصل د. محمد أمس.", "أين هو؟", "لا أعرف!", "ذهب."],
        ["שלום לך.", "מה שלומך?", "טוב."],
        ["Ես գալիս եմ։", "Դու՞։"],
        ["안녕하세요.", "저는 학생입니다.", "네.", "그렇습니다."],
        ["มนุษย์ทั้งหลาย ไม่มีจุด"],
        ["ሰላም ነው።", "እንዴት ነህ፧", "ደህና።"],
    ],
)
def test_sentences_are_found(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


WITHOUT_CASE_TO_GO_BY = [
    ["it rained.", "nobody came!", "was it over?", "it was."],
    ["he said: “it is over.”", "then he left.", "(nobody saw him.)", "it was late."],
    ["mr. brown and dr. a. b. smith of st. ives met on jan. 5 at 3.30 p.m. in washington."],
    [
        "see fig. 3 and eq. 7, i.e. the navy's.",
        "then go on.",
        "see p. 12 of vol. xv, no. 7.",
        "i said no.",
        "i am sure.",
    ],
    ["1. the first item.", "2. the second one.", "iv. a roman number.", "the end."],
    ["they don't.", "it isn’t.", "we must.", "acme inc. boston sold it."],
    ["call file.txt.", "then read example.org now."],
    ["am 3. oktober kam hr. dr. müller.", "er blieb bis zum 19. jahrhundert.", "es kostet ca. 5 mio. euro."],
    ["это г. москва, ул. ленина.", "он умер.", "«нет!»"],
    ["τι είναι αυτό;", "δεν ξέρω.", "ο κόσμος."],
]


@pytest.mark.parametrize("sentences", WITHOUT_CASE_TO_GO_BY)
@pytest.mark.parametrize("change", [str, str.upper])
def test_text_of_small_letters_or_of_capitals_alone(sentences: list[str], change: Callable[[str], str]) -> None:
    sentences = [change(sentence) for sentence in sentences]
    assert split_sentences(" ".join(sentences)) == sentences


def test_small_letters_with_a_few_capitals() -> None:
    """Tweets, say: names and shouts now and then."""
    sentences = [f"i went to the shop {i} times and bought a lot of bread and milk." for i in range(40)]
    sentences[7] = "then Anna called."
    sentences[20] = "oh NO, it rained."
    assert split_sentences(" ".join(sentences)) == sentences


def test_cased_text_with_many_small_letters_behind_stops_is_cased() -> None:
    """Lists of abbreviations, quotations of speech."""
    entry = "Abasia n. inability to walk, esp. from a defect, cf. astasia and abbr. ab. in old books of medicine"
    assert split_sentences(" ".join([entry] * 40)) == [" ".join([entry] * 40)]
    speech = "“Is it over?” asked the old captain of the river boat, and nobody of his crew had an answer for him."
    assert split_sentences(" ".join([speech] * 40)) == [speech] * 40


def test_scripts_without_case_among_latin_words() -> None:
    sentences = ["저는 NASA 학생입니다.", "iPhone은 좋습니다!", "python을 배웁니다.", "네."]
    assert split_sentences(" ".join(sentences)) == sentences
    sentences = ["أنا أدرس في MIT.", "python لغة جيدة.", "أين هو؟", "هنا."]
    assert split_sentences(" ".join(sentences)) == sentences


def test_scripts_without_spaces() -> None:
    assert split_sentences("これは文です。これも文です！本当？はい。") == [
        "これは文です。",
        "これも文です！",
        "本当？",
        "はい。",
    ]
    assert split_sentences("他说：“好。”然后走了。真的吗？！是的……对。") == [
        "他说：“好。”",
        "然后走了。",
        "真的吗？！",
        "是的……对。",
    ]
    # Speech is part of the sentence that goes on behind it.
    assert split_sentences("「行く。」と彼は言った。「そう。」彼女は笑った。") == [
        "「行く。」と彼は言った。",
        "「そう。」",
        "彼女は笑った。",
    ]
    assert split_sentences("式は次である．値は３．１４である．") == ["式は次である．", "値は３．１４である．"]
    assert split_sentences("राम आया।सीता गई॥") == ["राम आया।", "सीता गई॥"]


def test_no_sentence_spans_two_paragraphs() -> None:
    assert split_sentences("A heading\nIt begins\nand goes on. And on.\n\nMr.\nBrown") == [
        "A heading",
        "It begins",
        "and goes on.",
        "And on.",
        "Mr.",
        "Brown",
    ]


@pytest.mark.parametrize("text", ["", " ", "\n", " \n\t\n "])
def test_white_space_is_no_sentence(text: str) -> None:
    assert split_sentences(text) == []


STOPS = ["。", "！", "。」", "।", "؟", "... ", "Mr. ", "i.e. ", "A. "]
ALPHABET = [*STOPS, *"aZ0_ \n\t.!?…\"'”’)]»（）「」", "\u2028", "\x1c", "\x85", "é"]


@given(st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join) | st.text())
def test_nothing_but_white_space_is_lost(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    for sentence in sentences:
        assert sentence
        assert sentence == sentence.strip()
        assert "\n" not in sentence
        assert sentence in text  # A sentence stands in the text as it is.


def test_splitting_again_changes_nothing() -> None:
    text = "It rained. Mr. Brown came! Was it over? “It was.” He left. 一つ。二つ。"
    once = split_sentences(text)
    assert [part for sentence in once for part in split_sentences(sentence)] == once
    assert len(once) == 7


def test_time_grows_with_length_alone() -> None:
    """Runs of what the patterns look for do not make them look again and again."""
    for unit in (".", '"', ". ", "?!", "。", " ", '."', "a.", "(("):
        assert "".join(split_sentences(unit * 100_000)).replace(" ", "") == unit.strip() * 100_000

from collections import Counter

import pytest

from pipeline.sample.documentation import paragraphs


def prose(text: str) -> list[str]:
    return list(paragraphs(text, Counter()))


def test_google_style() -> None:
    assert prose(
        """Computes the mean of a tensor along an axis.

        Usage:

        >>> mean([1, 2])
        1.5

        This is what `tf.reduce_mean` does, and
        it keeps the *static* shape.

        Args:
          x, y (int, optional): the tensor to be reduced
            over all of its axes, and what is
            more: over all of its values
          **kwargs: options that are passed on to the kernel.

            They are not checked at all by this function.
          name: (Optional.) A name for the operation.

        Returns:
          The reduced tensor, of the same type as `x`.

        Raises:
          ValueError: if the axis is not in the range of `x`

        Note: this is not in the section of the errors.
        """
    ) == [
        "Computes the mean of a tensor along an axis.",
        "This is what tf.reduce_mean does, and it keeps the static shape.",
        "The tensor to be reduced over all of its axes, and what is more: over all of its values.",
        "Options that are passed on to the kernel.",
        "They are not checked at all by this function.",
        "(Optional.) A name for the operation.",
        "The reduced tensor, of the same type as x.",
        "If the axis is not in the range of x.",
        "Note: this is not in the section of the errors.",
    ]


def test_numpy_style() -> None:
    assert prose(
        """
        Return the maximum of an array.

        Parameters
        ----------
        a : array_like
            Input data, which may be of any shape.
        axis : None or int, optional
            Either:

            * None, for all of the axes at once;
            * an axis to be reduced.
        out : ndarray
            The array that the result is put into.

        Returns
        -------
        max : ndarray or scalar
            Maximum of `a`, in the type of its elements.

        See Also
        --------
        amin :
            The minimum value of an array along a given axis.

        Notes
        -----
        It is an error if the array is empty [1]_.

        References
        ----------
        .. [1] A. Author, "A title that is longer than the line that it
           stands in", 1999.
        """
    ) == [
        "Return the maximum of an array.",
        "Input data, which may be of any shape.",
        "None, for all of the axes at once;",
        "An axis to be reduced.",
        "The array that the result is put into.",
        "Maximum of a, in the type of its elements.",
        "It is an error if the array is empty.",
    ]


def test_restructured_text() -> None:
    assert prose(
        """
        ==========
        Some title
        ==========

        Use :class:`~package.Class` or :meth:`the method <Class.method>` of :pep:`484`, as in the
        following example::

            value = Class()

            the_code_may_read_as_if_it(was=prose)

        .. versionadded:: 3.7 The argument was not there before.

        .. note::
           The body of a note is a part of the text.

        .. code-block:: python

           this is not a part of the text, though it could be

        =====  =====
        Not a  table
        =====  =====
        that   is in the text for the reader
        =====  =====

        :param x: the first of the two arguments
        :type x: a type that is described in words
        :returns: the sum of the two arguments.
        """
    ) == [
        "Use package.Class or the method of PEP 484, as in the following example:",
        "The argument was not there before.",
        "The body of a note is a part of the text.",
        "The first of the two arguments.",
        "The sum of the two arguments.",
    ]


def test_markdown() -> None:
    assert prose(
        """# The title of the page is not prose

<!-- A comment that is
not for the reader of the page -->

The **first** paragraph has [a link](https://example.com/a_(b)) and `code` in it.
Its second sentence is at https://example.com for all to read. But the third is kept &amp; shown.

```python
print("this is in the fence, and not in the text")
```

| a | table | in the page |
|---|-------|-------------|
| x | that  | has words in it |

1. The first item of the list
2. `lower` is the name of the second
"""
    ) == [
        "The first paragraph has a link and code in it. But the third is kept & shown.",
        "The first item of the list.",
        "lower is the name of the second.",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Too short.", "too short"),
        ("x = [i for i in range(10)] + y[0:3] * (z.a_b - 1)", "mostly symbols"),
        ("alpha beta gamma delta epsilon zeta eta", "not English sentences"),
        ("Copyright (c) 2003 by the authors of this file.", "licence"),
        ("See https://example.com for the whole of it.", "sentence with a URL"),
        (">>> this is not a part of the text", "doctest"),
        ("\nArgs:\n  x : int\n", "name and type"),
        ("See Also\n--------\nthe function that does the same", "list of names"),
    ],
)
def test_counts_what_it_drops(text: str, reason: str) -> None:
    dropped: Counter[str] = Counter()
    assert list(paragraphs(text, dropped)) == []
    assert dropped[reason] == 1


def test_leaves_no_line_breaks_controls_or_surrogates() -> None:
    text = "There is a \x08 and a \x00 here,\x0bas well as \ud800 and \u2028 in the text."
    assert prose(text) == ["There is a and a here, as well as and in the text."]


def test_dunder_names_are_no_emphasis() -> None:
    assert prose("The ``__init__`` of _all_ classes is the place for it.") == [
        "The __init__ of all classes is the place for it."
    ]

"""What people call an option is found, and what they may have meant is said."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.dataverse.metadata.columns import Column, Option
from airflow_provider_dynamics.transfers.loads.choices import choice_reader

INDUSTRY = (
    Option(1, ("Accounting", "Buchhaltung")),
    Option(2, ("Agriculture", "Landwirtschaft")),
    Option(7, ("Building Supply", "Accounting")),
    Option(8, ("Old",)),
    Option(9, ("Old",)),
    Option(10, ("2024",)),
    Option(11),
)


def read(value, kind="Picklist", options=INDUSTRY, **how):
    return choice_reader(Column("industrycode", kind, "industrycode", options=options), **how)(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        pytest.param("Accounting", 1, id="a label"),
        pytest.param("  aGRIcultURE ", 2, id="without regard to case and blanks"),
        pytest.param("Landwirtschaft", 2, id="a label in another language"),
        pytest.param("accounting", 1, id="the user's language wins over another option's"),
        pytest.param(7, 7, id="a number"),
        pytest.param("7", 7, id="a number as text"),
        pytest.param(7.0, 7, id="a number as pandas writes it"),
        pytest.param("2024", 10, id="a label made of digits"),
        pytest.param(11, 11, id="an option without a label"),
    ],
)
def test_a_choice_is_known_by_its_number_or_its_label(value, number):
    assert read(value) == number


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(
            "Acounting", "'Acounting' is none of its choices. Did you mean 'Accounting'?", id="misspelt"
        ),
        pytest.param("Zoo", "1 (Accounting), 2 (Agriculture), 7 (Building Supply)", id="like none"),
        pytest.param(3, "3 is none of its choices: 1 (Accounting)", id="a number that is none"),
        pytest.param("old", "more than one of its choices, 8 and 9: give the number", id="a label of two"),
        pytest.param("1e999999999", "is none of its choices", id="a number beyond all"),
        pytest.param(1.5, "'1.5' is none of its choices", id="half a choice"),
    ],
)
def test_what_is_no_choice_is_answered_with_those_that_are(value, said):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is looked at
        read(value)
    assert said in str(caught.value)


def test_labels_can_be_left_out_of_account():
    assert read("7", by_label=False) == 7
    with pytest.raises(ValueError, match="'Accounting' is not a number"):
        read("Accounting", by_label=False)


def test_where_the_options_are_not_known_numbers_pass():
    assert read(3, options=()) == 3
    with pytest.raises(ValueError, match="'x' is none of its choices"):
        read("x", options=())


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        pytest.param("Accounting; agriculture", "1,2", id="labels as Dataverse shows them"),
        pytest.param("1,2", "1,2", id="numbers as Dataverse writes them"),
        pytest.param("[1, 2]", "1,2", id="numbers in brackets"),
        pytest.param(["Accounting", 2], "1,2", id="a list"),
        pytest.param("Accounting,Agriculture", "1,2", id="labels with commas"),
        pytest.param(7, "7", id="one number"),
        pytest.param("Building Supply", "7", id="one label"),
        pytest.param("1;1;Accounting", "1", id="each once"),
    ],
)
def test_several_choices_are_known_each(value, numbers):
    assert read(value, "MultiSelectPicklist") == numbers


def test_one_of_several_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"'Zoo' is none of its choices"):
        read("Accounting; Zoo", "MultiSelectPicklist")


EMAIL = (Option(0, ("Allow",)), Option(1, ("Do Not Allow",)))


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        ("do not allow", True),
        ("Allow", False),
        (True, True),
        ("false", False),
        (1, True),
        ("0", False),
        (0.0, False),
    ],
    ids=repr,
)
def test_yes_and_no_are_known_by_their_labels(value, truth):
    assert read(value, "Boolean", EMAIL) is truth


@pytest.mark.parametrize("value", ["maybe", 2, "2"], ids=repr)
def test_what_is_neither_yes_nor_no_is_answered_with_the_labels(value):
    with pytest.raises(ValueError, match="is not true or false"):
        read(value, "Boolean", EMAIL)


STARS = (Option(1, ("None",)), Option(2, ("1",)), Option(3, ("3",)))


def test_digits_that_are_a_number_here_and_a_label_there_are_refused():
    with pytest.raises(
        ValueError, match="'1' is the number of one of its choices and the label of another, 2"
    ):
        read("1", options=STARS)

    assert [read(1, options=STARS), read("3", options=STARS)] == [1, 3]
    assert read("1", options=STARS, by_label=False) == 1


@pytest.mark.parametrize("nothing", [[], " ; ", "[]"])
def test_none_of_several_choices_is_nothing(nothing):
    assert read(nothing, "MultiSelectPicklist") is None

"""What is known under a name, which is looked up once."""

from __future__ import annotations

from taskembed.models.catalogue import Identified, families, identify


def test_a_known_name_has_its_family_and_the_id_of_the_model() -> None:
    known = identify("INTFLOAT/E5-Small-v2")
    assert (known.asked, known.name) == ("INTFLOAT/E5-Small-v2", "intfloat/e5-small-v2")
    assert known.family is not None
    assert known.family.name == "e5"
    assert (known.dim, known.hosted) == (384, False)


def test_a_hosted_model_is_known_to_be_one() -> None:
    assert identify("embed-v4.0").hosted


def test_of_an_unknown_name_nothing_is_known() -> None:
    assert identify("me/mine") == Identified("me/mine", "me/mine", None)
    assert (identify("me/mine").dim, identify("me/mine").hosted) == (None, False)


def test_a_family_that_is_read_alone_is_that_of_the_whole_file() -> None:
    for family in families():
        names = {name: name for name in family.models} | dict(family.aliases)
        for known, name in names.items():
            found = identify(known.upper())
            assert (found.name, found.family) == (name, family)
            assert identify(known).family is found.family

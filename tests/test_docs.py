"""Public names are documented: every function has the sections of numpydoc, its parameters, and examples that run."""

import doctest
import inspect

import flatconv
import pytest

FUNCTIONS = [name for name in flatconv.__all__ if callable(getattr(flatconv, name))]


@pytest.mark.parametrize("name", ["", *FUNCTIONS])
def test_examples_run(name, capsys):
    documented = getattr(flatconv, name) if name else flatconv
    finder = doctest.DocTestFinder(recurse=False)
    (examples,) = finder.find(documented, name or "flatconv", module=False, globs={})
    outcome = doctest.DocTestRunner().run(examples)
    assert outcome.attempted >= 2
    assert outcome.failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sections_and_parameters(name):
    function = getattr(flatconv, name)
    text = inspect.getdoc(function)
    sections = ["Returns", "Examples"]
    parameters = inspect.signature(function).parameters
    if parameters:
        sections += ["Parameters", "Raises"]
    if name == "set_num_threads":
        sections.remove("Returns")
    for section in sections:
        assert f"\n{section}\n{'-' * len(section)}\n" in text
    if parameters:
        body = text.split("\nParameters\n")[1].split("\nReturns\n" if "Returns" in sections else "\nRaises\n")[0]
        heads = [line.split(" :")[0] for line in body.splitlines() if line and not line.startswith((" ", "-"))]
        assert [parameter for head in heads for parameter in head.split(", ")] == [
            parameter for parameter in parameters if parameter in " ".join(heads)
        ]
        assert set(parameters) == {parameter for head in heads for parameter in head.split(", ")}


def test_all_is_what_is_public():
    assert sorted(flatconv.__all__) == flatconv.__all__
    assert {name for name in vars(flatconv) if not name.startswith("_")} <= set(flatconv.__all__)

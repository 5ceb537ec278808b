"""Public names are documented: every function has the sections of numpydoc, its parameters, and examples that run."""

import doctest
import inspect
import re
from pathlib import Path

import flatconv
import pytest

README = Path(__file__).resolve().parents[1] / "README.md"

PUBLIC = {name: getattr(flatconv, name) for name in flatconv.__all__}
PUBLIC |= {f"grad.{name}": getattr(flatconv.grad, name) for name in flatconv.grad.__all__}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}
# What needs more than NumPy is not in __all__, so that `from flatconv import *` works without it.
CONSTRUCTED = {"ConvOperator": flatconv.ConvOperator}
METHODS = {
    f"{name}.{method}": function
    for name, documented in CLASSES.items()
    for method, function in vars(documented).items()
    if inspect.isfunction(function) and (method == "__call__" or not method.startswith("_"))
}
FUNCTIONS = {name: value for name, value in PUBLIC.items() if inspect.isroutine(value)} | METHODS


@pytest.mark.parametrize("name", ["", "grad", *FUNCTIONS, *CONSTRUCTED])
def test_examples_run(name, capsys):
    documented = {"": flatconv, "grad": flatconv.grad, **FUNCTIONS, **CONSTRUCTED}[name]
    finder = doctest.DocTestFinder(recurse=False)
    (examples,) = finder.find(documented, name or "flatconv", module=False, globs={})
    outcome = doctest.DocTestRunner().run(examples)
    assert outcome.attempted >= 2
    assert outcome.failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", [*FUNCTIONS, *CONSTRUCTED])
def test_sections_and_parameters(name):
    documented = (FUNCTIONS | CONSTRUCTED)[name]
    text = inspect.getdoc(documented)
    after_parameters = "Attributes" if name in CONSTRUCTED else "Returns"
    sections = [after_parameters, "Examples"]
    parameters = dict(inspect.signature(documented.__init__ if name in CONSTRUCTED else documented).parameters)
    parameters.pop("self", None)
    if parameters:
        sections += ["Parameters", "Raises"]
    if name == "set_num_threads":
        sections.remove("Returns")
    for section in sections:
        assert f"\n{section}\n{'-' * len(section)}\n" in text
    if parameters:
        end = after_parameters if after_parameters in sections else "Raises"
        body = text.split("\nParameters\n")[1].split(f"\n{end}\n")[0]
        heads = [line.split(" :")[0] for line in body.splitlines() if line and not line.startswith((" ", "-"))]
        assert [parameter for head in heads for parameter in head.split(", ")] == [
            parameter for parameter in parameters if parameter in " ".join(heads)
        ]
        assert set(parameters) == {parameter for head in heads for parameter in head.split(", ")}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_say_what_they_are(name):
    assert len(inspect.getdoc(CLASSES[name]).splitlines()) > 1
    assert "\nAttributes\n----------\n" in inspect.getdoc(CLASSES[name])


def test_all_is_what_is_public():
    for module in (flatconv, flatconv.grad):
        assert sorted(module.__all__) == module.__all__
        assert {name for name in vars(module) if not name.startswith("_")} <= set(module.__all__)


def test_the_readme_examples_run(capsys):
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        exec(block, names)
    numbers = [float(number) for number in capsys.readouterr().out.replace("[", " ").replace("]", " ").split()]
    assert numbers == 2 * [12, 12, 17, 10, 17, 19, 9, 6, 14]
    assert names["y"].shape == (8, 128, 28, 28)

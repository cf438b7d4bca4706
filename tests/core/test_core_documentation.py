"""The examples that a reader would copy: the code blocks of plastic/README.md and the doctests of the package."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

import plastic

PACKAGE = Path(plastic.__file__).parent
BLOCKS = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def test_code_blocks_of_the_readme_run_in_order():
    """Red when: a name, a shape or an argument in the README is not that of the package."""
    assert len(BLOCKS) >= 4
    names = {"__name__": "plastic.readme"}
    for block in BLOCKS:
        exec(compile(block, "plastic/README.md", "exec"), names)
    assert names["logits"].shape == (8, 3, 5)
    assert names["model"].memory.eta.grad.abs() > 0
    assert names["rnn"].cell.alpha.grad.abs().max() > 0
    assert names["state"].trace.shape == (4, 2, 16, 16)


def test_the_readme_names_every_rule():
    """Red when: a rule is added, renamed or left out of the table."""
    table = (PACKAGE / "README.md").read_text(encoding="utf-8")
    for rule in plastic.rules.RULES:
        assert f"| `{rule}` |" in table


@pytest.mark.parametrize("module", ["rules", "functional", "linear", "recurrent", "coefficients", "reference"])
def test_doctests(module):
    """Red when: an example in a docstring gives something else than it says."""
    result = doctest.testmod(importlib.import_module(f"plastic.{module}"), raise_on_error=False)
    assert result.failed == 0
    assert result.attempted > 0 or module in ("functional", "coefficients", "reference")

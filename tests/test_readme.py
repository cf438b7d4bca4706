"""The README's example is code that runs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_python_blocks_of_the_readme_run() -> None:
    """Red when the example calls something that is not there, such as ``memory.recall``."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    namespace: dict[str, object] = {}
    exec(blocks[0], namespace)
    assert namespace["logits"].shape == (8, 3, 5)
    assert all(p.grad is not None for p in namespace["model"].parameters())

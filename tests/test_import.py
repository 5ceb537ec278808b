"""Importing flatconv is cheap: it pulls in NumPy and nothing that is not Python's own."""

from child_process import run_child

NEW_MODULES = """
    import sys
    import numpy
    before = set(sys.modules)
    import flatconv
    new = {name.partition(".")[0] for name in set(sys.modules) - before} - {"flatconv", "numpy"}
    print(sorted(new - sys.stdlib_module_names))
    print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] not in ("flatconv", "numpy")))
"""


def test_nothing_but_numpy_is_imported():
    others, _ = run_child(NEW_MODULES).stdout.splitlines()
    assert others == "[]"


def test_little_is_imported_of_pythons_own():
    _, modules = run_child(NEW_MODULES).stdout.splitlines()
    for heavy in (
        "argparse",
        "asyncio",
        "importlib.metadata",
        "multiprocessing",
        "subprocess",
        "pathlib",
    ):
        assert f"'{heavy}'" not in modules


def test_calls_import_nothing_more():
    run_child(
        """
        import sys
        import numpy as np
        import flatconv

        before = set(sys.modules)
        flatconv.conv2d(np.ones((5, 5)), np.ones((3, 3)), 0.5, padding="same")
        flatconv.col2im(flatconv.im2col(np.ones((5, 5)), 3), (5, 5), 3)
        flatconv.fold(flatconv.unfold(np.ones(5), (3,)), 5, (3,))
        flatconv.conv_matrix(np.ones((3, 3)), (5, 5), format="dense")
        flatconv.show_config()
        assert set(sys.modules) == before, set(sys.modules) - before
        """
    )

from tests.widgets.conftest import nothing_left  # noqa: F401

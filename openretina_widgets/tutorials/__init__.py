"""Teaching: tutorials step by step, predictions before one looks, a class."""

"""The widgets: one widget, one module, one script, one style sheet."""

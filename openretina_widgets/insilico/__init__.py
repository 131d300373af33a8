"""The engine: experiments on a model, without any widget."""

"""Compute what was asked for last, in a thread; what a newer question overtook is dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Generic, TypeVar

from openretina_widgets.widgets.transport import MainLoop

QuestionT = TypeVar("QuestionT")
AnswerT = TypeVar("AnswerT")

_LINGER = 2.0  # s that the thread waits for a next question: a slider asks 30 times a second


class NewestOnly(Generic[QuestionT, AnswerT]):
    """Answers questions that come faster than they can be answered, such as those of a slider.

    At most one question waits; a newer one takes its place. Answers are shown on the main loop, and
    one that was overtaken while it waited there is not shown. The thread ends when nothing was
    asked for a while. In plain Python, without a loop, `ask` answers before it returns.

    Parameters
    ----------
    compute
        Called in the thread with a question; touches no widget.
    show
        Called on the main loop with the answer.
    fail
        Called on the main loop with a `ValueError`, `TypeError` or `RuntimeError` of `compute`.
    main_loop
        The loop of the widget.
    context
        Makes a context manager that is entered around `compute` in the thread.
    """

    def __init__(
        self,
        compute: Callable[[QuestionT], AnswerT],
        *,
        show: Callable[[AnswerT], object],
        fail: Callable[[Exception], object],
        main_loop: MainLoop,
        context: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._compute, self._show, self._fail = compute, show, fail
        self._main_loop, self._context = main_loop, context
        self._news = threading.Condition()
        self._waiting: list[QuestionT] = []
        self._thread: threading.Thread | None = None
        self._asked = self._shown = 0
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether the newest question has not been answered yet."""
        with self._news:
            return self._shown < self._asked and not self._closed

    def ask(self, question: QuestionT) -> None:
        """Ask; from any thread."""
        with self._news:
            if self._closed:
                return
            self._asked += 1
            if self._main_loop.exists:
                self._waiting = [question]
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._work, name="live response", daemon=True
                    )
                    self._thread.start()
                self._news.notify()
                return
        self._deliver(self._asked, *self._answer(question))

    def close(self) -> None:
        """Show nothing more, and let the thread end."""
        with self._news:
            self._closed, self._waiting = True, []
            self._news.notify()

    def _work(self) -> None:
        with self._context():
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._waiting or self._closed, _LINGER)
                    if not self._waiting:
                        self._thread = None
                        return
                    number, question = self._asked, self._waiting.pop()
                answer = self._answer(question)
                self._main_loop.call(partial(self._deliver, number, *answer))

    def _answer(self, question: QuestionT) -> tuple[Callable[..., object], object]:
        try:
            return self._show, self._compute(question)
        # A live model of the user can raise anything, and a thread that dies of it answers no more.
        except Exception as error:  # noqa: BLE001
            return self._fail, error

    def _deliver(self, number: int, act: Callable[..., object], answer: object) -> None:
        with self._news:
            if self._closed or number < self._shown:
                return
            self._shown = number
        act(answer)

"""Run a generator of steps in the kernel: watch it, pause it, step it, stop it, await it.

A worker thread runs the generator, asyncio is the face. Two halves share the work:

- `Worker`, the thread, owns the run. It learns what it is to do from a queue of commands, which it
  reads between two steps, and it leaves a snapshot of the newest step in a mailbox with room for
  one. It calls nothing of the user's but ``steps``, ``snapshot`` and ``context``, and it does not
  know the `Job`, so that a forgotten job can be collected and its run ended.
- `Job`, what the user holds, is pumped on the kernel's main loop: it takes the snapshot out of the
  mailbox, hands it to ``on_update`` and asks for the next one when that is due. It is woken by the
  worker or by a timer, never polls a worker, and sleeps while the run is paused.

Importing this module imports neither torch nor anything of Jupyter.
"""

from openretina_widgets.jobs.job import Job
from openretina_widgets.jobs.worker import State

__all__ = ["Job", "State"]

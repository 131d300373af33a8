"""What a student's kernel holds on to, and what it lets go."""

from __future__ import annotations

import gc
import weakref

import openretina_widgets as orw


def test_a_closed_laboratory_lets_go_of_its_model_and_results() -> None:
    lab = orw.RetinaLab(max_iterations=3)
    lab.optimizer.start().result(timeout=60)
    lab.show_tab("tuning").start().result(timeout=60)
    fields = lab.show_tab("fields").start().result(timeout=60)
    held = {
        "model": weakref.ref(lab.model),
        "best stimulus": weakref.ref(lab.result),
        "fields": weakref.ref(fields),
    }
    assert all(reference() is not None for reference in held.values())
    lab.close()
    del lab, fields
    gc.collect()
    assert [name for name, reference in held.items() if reference() is not None] == []

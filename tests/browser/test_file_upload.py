"""Uploads through real JupyterLab: larger than one message may be, cancelled, refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.browser.lab import Lab, expect

pytestmark = pytest.mark.browser

SHOW = """
import hashlib
from openretina_widgets.widgets.file_upload import FileUpload
upload = FileUpload(label="Upload", accept=".ckpt")
upload
"""


def test_a_file_larger_than_a_message_arrives_and_can_be_given_up(
    lab: Lab, kernel_name: str, tmp_path: Path
) -> None:
    data = os.urandom(24 * 10**6)
    file = tmp_path / "<b>model.ckpt"
    file.write_bytes(data)
    lab.new_notebook([SHOW], kernel=kernel_name)
    lab.run_cell(0)
    output = lab.output_area(0)
    message, button = output.locator(".orw-upload-message"), output.locator(".orw-upload-button")
    output.locator(".orw-upload-file").set_input_files(file)
    expect(button).to_have_text("Cancel")
    expect(message).to_have_text("<b>model.ckpt has arrived.", timeout=60_000)
    expect(button).to_have_text("Upload")
    digest = lab.evaluate_in_kernel("hashlib.sha256(upload.path.read_bytes()).hexdigest()")
    assert hashlib.sha256(data).hexdigest() in digest

    output.locator(".orw-upload-file").set_input_files(file)
    button.click()
    expect(message).to_have_text("<b>model.ckpt was not uploaded.")
    lab.wait_until("upload._incoming is None")
    assert lab.evaluate_in_kernel("upload.path.exists()") == "True"

    lab.evaluate_in_kernel("upload.largest = 1000; None")
    output.locator(".orw-upload-file").set_input_files(file)
    expect(message).to_contain_text("the file has 24.0 MB; at most 0.001 MB are taken")
    expect(message).to_have_attribute("role", "alert")

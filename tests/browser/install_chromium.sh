#!/bin/sh
# Install Chromium with the system's package manager, where it is missing and that is possible.
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ]; then as_root=""; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else
    echo "Chromium is missing, and installing it needs root: the browser tests will skip."
    exit 0
fi
if command -v apt-get >/dev/null 2>&1; then
    $as_root apt-get update -q && $as_root apt-get install -yq --no-install-recommends chromium fonts-dejavu-core
elif command -v dnf >/dev/null 2>&1; then
    $as_root dnf install -yq chromium
elif command -v pacman >/dev/null 2>&1; then
    $as_root pacman -S --noconfirm chromium
elif command -v brew >/dev/null 2>&1; then
    brew install --cask chromium
else
    false
fi || echo "Chromium could not be installed: the browser tests will skip."

"""Says in one line what to install where the system lacks a library that rendering needs."""

import ctypes
import sys

if sys.platform.startswith("linux"):

    def loads(name: str) -> bool:
        """Whether the dynamic linker finds a library."""
        try:
            ctypes.CDLL(name)
        except OSError:
            return False
        return True

    if not (loads("libEGL.so.1") and loads("libGL.so.1")) and not loads("libOSMesa.so.8"):
        sys.exit("rendering needs EGL or OSMesa: apt-get install libegl1 libgl1 libgl1-mesa-dri")

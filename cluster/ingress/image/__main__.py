"""`python3 -m cluster.ingress.image [BASE]`: what to build the image from, as a tar archive."""

from __future__ import annotations

import sys

from cluster.ingress.image import archive, context

sys.stdout.buffer.write(archive(context(*sys.argv[1:2])))

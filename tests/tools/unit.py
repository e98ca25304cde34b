"""The unit in the README, by systemd's own reader; systemd itself need not run."""
import os
import re

from common import ROOT, Failed, debian, run

# The exposure that systemd counts, times ten, at most: what is left is what pools of any language need.
EXPOSURE_MAX = 20


def systemd(place):
    tool = debian("systemd-analyze", "systemd")
    with open(os.path.join(ROOT, "README.md")) as file:
        unit = re.search(r"A systemd unit:\n\n```ini\n(.*?)```", file.read(), re.DOTALL)[1]
    path = os.path.join(place.work, "nexus.service")
    with open(path, "w") as file:
        file.write(unit.replace("/usr/local/bin/nexus", place.nexus))
    told = run("systemd-analyze verify", [tool, "verify", "--man=no", path])
    if told.strip():
        raise Failed(told)
    told = run("systemd-analyze security", [tool, "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX}", path])
    return re.search(r"exposure level.*?: ([0-9.]+)", told)[0].replace(" for nexus.service", "")

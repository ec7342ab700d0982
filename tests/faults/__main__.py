"""`make faults`: interrupt FAULTS commands (100), drawn from SEED (0), and print what happened; exit 1 if anything was wrong."""

import os
import signal
import sys
import tempfile
from pathlib import Path

from faults.campaign import Campaign
from faults.harness import REPRO, Workflow


def main() -> int:
    """Run the campaign. What is wrong is printed with the output of its command."""
    # A shell starts what runs in the background deaf to Ctrl-C, and nohup to SIGHUP; what runs from here would be deaf too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    faults, seed = int(os.environ.get("FAULTS") or 100), int(os.environ.get("SEED") or 0)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        undisturbed = Workflow(Path(folder, "undisturbed"))
        outcome = undisturbed.run(*REPRO)
        assert outcome.status == 0, outcome.output
        campaign = Campaign(Path(folder), seed, lambda line: print(line, flush=True), undisturbed)
        while campaign.hits < faults:
            campaign.train(temporary=campaign.trainings % 3 == 2)
    print(f"\n{campaign.table()}\n")
    print(f"{campaign.hits} interruptions of {campaign.trainings} trainings, seed {seed}; {len(campaign.wrong)} things wrong")
    return 1 if campaign.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Pages laid out by Chromium at several widths, and what does not fit."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The program, if there is one."""

# A page in a frame has the frame's width, while a window of Chromium has at least 500 pixels.
MEASURE = """
function misfits(frame) {
  const found = [], page = frame.contentDocument, width = frame.clientWidth;
  const report = (what, node) => found.push(`${width} pixels: ${what}: ${node.textContent.trim().slice(0, 60)}`);
  if (page.documentElement.scrollWidth > width) report("the page scrolls", page.body);
  for (const node of page.body.querySelectorAll("*")) {
    if (node.closest("svg") || node.parentElement.closest(".scroll")) continue;
    const box = node.getBoundingClientRect();
    if (box.left < -0.5 || box.right > width + 0.5) report("outside the page", node);
    const clipped = node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display != "inline";
    if (clipped && !node.matches(".scroll") && !node.querySelector(".tiles")) report("wider than its place", node);
  }
  for (const svg of page.querySelectorAll("svg")) {
    const area = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll("text")];
    const boxes = texts.map(text => text.getBoundingClientRect());
    boxes.forEach((box, i) => {
      if (box.left < area.left - 1 || box.right > area.right + 1) report("text outside its drawing", texts[i]);
      boxes.slice(0, i).forEach((other, j) => {
        const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (across > 1 && down > 0.35 * Math.min(box.height, other.height)) report("text over text", texts[i]);
      });
    });
  }
  return found;
}
addEventListener("load", () => {
  const answer = document.createElement("pre");
  answer.textContent = JSON.stringify([...document.querySelectorAll("iframe")].flatMap(misfits));
  document.body.replaceChildren(answer);
});
"""


def misfits(page: Path, widths: list[int], folder: Path) -> list[str]:
    """What is outside of the page, of its place or over other text at one of ``widths`` in pixels; ``folder`` is for files."""
    source = html.escape(page.read_text(encoding="utf-8"))
    frames = [f'<iframe style="border: 0; width: {width}px; height: 900px" srcdoc="{source}"></iframe>' for width in widths]
    (folder / "frames.html").write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><script>{MEASURE}</script><body>{"".join(frames)}', encoding="utf-8"
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'chromium'}", "--dump-dom"]
    command = [str(CHROMIUM), *options, (folder / "frames.html").as_uri()]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    answer = re.search(r"<pre>(.*?)</pre>", printed, re.DOTALL)
    assert answer
    found: list[str] = json.loads(html.unescape(answer[1]))
    return found

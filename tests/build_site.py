"""Build explorer and course into site/dist: `python tests/build_site.py [--serve] [--model MODEL]`."""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"
DIST = SITE / "dist"
MODEL = SITE / "public" / "model"
RUNTIME = SITE / "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"
INSTALLED = SITE / "node_modules" / "installed.sha256"
LOWEST_NODE = (20, 19)


class SiteError(Exception):
    """What went wrong, in a sentence."""


class SiteMissing(SiteError):
    """What is not installed here, in a sentence."""


def digest(*paths):
    """Forty digits that change with the files."""
    found = hashlib.sha256()
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()[:40]


def run(*command):
    """A program of Node, in site/."""
    code = subprocess.run(command, cwd=SITE, stdin=subprocess.DEVNULL).returncode
    if code:
        raise SiteError(f"{' '.join(command)} failed; what it says is above.")


def check_node():
    node, npm = shutil.which("node"), shutil.which("npm")
    wanted = ".".join(map(str, LOWEST_NODE))
    if not node or not npm:
        raise SiteMissing(
            f"The site is built with Node {wanted} or newer and npm, and they are not "
            "installed here: install Node, then run this command again."
        )
    said = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    version = tuple(map(int, re.findall(r"\d+", said)[:2]))
    if version < LOWEST_NODE:
        raise SiteMissing(f"This is Node {said.strip()}, and the site needs {wanted}.")


def install():
    """The npm packages, as package-lock.json has them."""
    wanted = digest(SITE / "package-lock.json")
    if INSTALLED.exists() and INSTALLED.read_text() == wanted:
        return
    try:
        run(shutil.which("npm"), "ci", "--ignore-scripts")
    except SiteError as error:
        raise SiteMissing(f"The npm packages are not to be had: {error}") from None
    INSTALLED.write_text(wanted)


def made_from(folders):
    """A fingerprint of all that the model's files are made from."""
    code = [ROOT / "sdlearn" / f"{name}.py" for name in ("browser", "sheet", "world")]
    inside = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return digest(RUNTIME, *code, *filter(Path.is_file, inside))


def exported_from():
    """What the files that are there were made from, or None."""
    try:
        return json.loads((MODEL / "model.json").read_text("utf-8"))["madeFrom"]
    except (OSError, ValueError, KeyError):
        return None


def export(model):
    """The model's files, unless they are up to date."""
    from sdlearn.browser import export_for_browser
    from sdlearn.checkpoints import find_folder, load_parts

    names = [model, "tiny-lcm"] if model == "tiny" else [model]
    fingerprint = made_from(map(find_folder, names))
    if exported_from() == fingerprint:
        return
    parts, *four_step = [load_parts(name, device="cpu") for name in names]
    export_for_browser(parts, MODEL, RUNTIME, fingerprint, *four_step)


def build(model="tiny", dist=DIST):
    """Everything, from the npm packages to the folder of the site."""
    check_node()
    install()
    export(model)
    vite = ["node", "node_modules/vite/bin/vite.js", "build", "--logLevel=warn"]
    vite.append(f"--outDir={dist}")
    run(*vite, "--emptyOutDir")
    run(*vite, "--mode=notebook")
    print(f"Built: {dist}", flush=True)


def build_course(folder):
    """All lessons as pages, made from their saved outputs."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, SITE / "course" / "build.py", folder]
    if subprocess.run(command).returncode:
        raise SiteError("Sphinx could not make the course's pages: see above.")


class Handler(SimpleHTTPRequestHandler):
    """Nothing of what it serves is kept by the browser."""

    def end_headers(self):
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *args):
        pass


def serve():
    handler = partial(Handler, directory=DIST)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"The explorer: {address} (Ctrl-C ends it)", flush=True)
        webbrowser.open(address)
        server.serve_forever()


def main():
    parser = argparse.ArgumentParser(prog="dev.py site")
    parser.add_argument("--serve", action="store_true", help="open it in a browser")
    parser.add_argument("--model", default="tiny", help="a pipeline folder")
    args = parser.parse_args()
    try:
        build(args.model)
        build_course(DIST / "course")
        if args.serve:
            serve()
    except (SiteError, ValueError, OSError) as error:
        sys.exit(f"dev.py site: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

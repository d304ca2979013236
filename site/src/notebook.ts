/** The explorer in a notebook, by anywidget: a page in a frame, files from the kernel. */

import page from "../index.html?raw";
import EngineWorker from "./engine/worker?worker&inline";
import type { Find } from "./engine/types";
import { mount } from "./explorer";
import { PANELS, withCompanion } from "./panels";
import styles from "./styles/explorer.css?inline";
import { setUpTour } from "./tour/tour";

/** anywidget's model, as far as it is used here. */
interface Model {
  get(name: string): string;
  send(content: { file: string }): void;
  on(event: "msg:custom", act: (content: { file: string }, data: DataView[]) => void): void;
}

interface Frame extends HTMLIFrameElement {
  find: Find;
  panel: string;
}

/** A function that asks the kernel for a file and gives its address. */
function finder(model: Model, addresses: string[]): Find {
  const waiting = new Map<string, (address: string) => void>();
  model.on("msg:custom", ({ file }, data) => {
    const resolve = waiting.get(file);
    if (!resolve) return; // as when the same widget is shown twice
    waiting.delete(file);
    const bytes = new Blob(data as BlobPart[]);
    if (!bytes.size) return resolve(""); // the kernel has no such file
    addresses.push(URL.createObjectURL(bytes));
    resolve(addresses.at(-1)!);
  });
  return (file) =>
    new Promise((resolve) => {
      waiting.set(file, resolve);
      model.send({ file });
    });
}

/** Inside the frame: all panels but the link's, which would lead nowhere; or one. */
export async function open() {
  const { find: model, panel } = window.frameElement as Frame;
  const element = (id: string) => document.getElementById(id)!;
  document.documentElement.dataset[panel ? "only" : "frame"] = panel;
  const all = PANELS.map(({ id }) => id).filter((id) => id !== "share");
  const panels = panel ? withCompanion(panel) : all;
  const worker = new EngineWorker();
  const app = await mount(element("explorer"), { worker, model, panels });
  if (app && !panel) setUpTour(app, element("tour-start"));
}

/** Keeps the frame as light or dark as JupyterLab is; others follow the system. */
function followTheme(frame: Frame) {
  const body = document.body;
  const show = () => {
    const { jpThemeLight: isLight } = body.dataset;
    const theme = { true: "light", false: "dark" }[isLight ?? ""];
    if (theme) frame.contentDocument!.documentElement.dataset["theme"] = theme;
  };
  const observer = new MutationObserver(show);
  observer.observe(body, { attributeFilter: ["data-jp-theme-light"] });
  frame.addEventListener("load", show);
  return observer;
}

function render({ model, el }: { model: Model; el: HTMLElement }) {
  const code = new Blob([model.get("_esm")], { type: "text/javascript" });
  const addresses = [URL.createObjectURL(code)];
  const frame = document.createElement("iframe") as unknown as Frame;
  frame.find = finder(model, addresses);
  frame.panel = model.get("panel");
  frame.title = "The explorer: a small Stable Diffusion, opened";
  frame.style.cssText = "width: 100%; height: 46rem; border: 0; border-radius: 12px;";
  const start = `<script type="module">import("${addresses[0]}").then((m) => m.open());`;
  const head = page.replace(/<script type="module".*?<\/script>/s, "");
  frame.srcdoc = `${head}<style>${styles}</style>${start}</script>`;
  const observer = followTheme(frame);
  el.append(frame);
  return () => {
    observer.disconnect();
    addresses.forEach((address) => URL.revokeObjectURL(address));
  };
}

export default { render };

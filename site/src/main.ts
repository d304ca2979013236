/** The page: all panels, or `?panel=noise` alone; with the state that its address holds. */

import { mount } from "./explorer";
import { withCompanion } from "./panels";
import { setUpTheme } from "./styles/theme";
import { setUpTour } from "./tour/tour";

const find = (id: string) => document.getElementById(id)!;
setUpTheme(find("theme"));
const only = new URLSearchParams(location.search).get("panel");
if (only) document.documentElement.dataset["only"] = only;
void mount(find("explorer"), {
  worker: new Worker(new URL("./engine/worker.ts", import.meta.url), { type: "module" }),
  model: new URL("model/", document.baseURI).href,
  link: location.hash.replace(/^#s=/, ""),
  ...(only && { panels: withCompanion(only) }),
}).then((app) => {
  if (app) setUpTour(app, find("tour-start"));
});

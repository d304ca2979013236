/** The page: all panels, or `?panel=noise` alone; with the state that its address holds. */

import { mount } from "./explorer";
import { setUpTheme } from "./styles/theme";
import { setUpTour } from "./tour/tour";

const find = (id: string) => document.getElementById(id)!;
setUpTheme(find("theme"));
const link = location.hash.replace(/^#s=/, "");
const only = new URLSearchParams(location.search).get("panel");
if (only) document.documentElement.dataset["only"] = only;
const beside = only === "film" ? "prompt" : "film"; // so that steps can be looked at
const options = only ? { link, panels: [only, beside] } : { link };
void mount(find("explorer"), options).then((app) => {
  if (app) setUpTour(app, find("tour-start"));
});

/** The page: the whole explorer, with the state that its address holds. */

import { mount } from "./explorer";
import { setUpTheme } from "./styles/theme";
import { setUpTour } from "./tour/tour";

const find = (id: string) => document.getElementById(id)!;
setUpTheme(find("theme"));
const link = location.hash.replace(/^#s=/, "");
void mount(find("explorer"), { link }).then((app) => {
  if (app) setUpTour(app, find("tour-start"));
});

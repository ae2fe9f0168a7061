// The page: who is signed in decides what it shows, the address after # decides which view.

import { h, show } from "./lib/dom.js";
import { end, isAdminDoor, session, version } from "./lib/session.js";
import { places, route } from "./lib/router.js";
import { icon } from "./ui/icon.js";
import { iconButton } from "./ui/button.js";
import { fault, waiting } from "./ui/parts.js";
import { signIn } from "./views/signin.js";
import { uploadTray } from "./views/uploads.js";

const app = /** @type {HTMLElement} */ (document.getElementById("app"));
const content = h("main", { id: "content", tabindex: "-1" });
/** @type {{ leave?: () => void, goTo?: (found: any) => boolean } | null} */
let current = null;
let shell = null;

function sidebar() {
  const who = session();
  const operator = who?.isOperator;
  const links = (list) => list.map((place) => h("a.nav", { href: `#/${place.path}`, data: { path: place.path } }, icon(place.icon), h("span", null, place.name)));
  return h("nav.sidebar", { "aria-label": "Main" },
    h("a.brand", { href: "#/buckets" }, icon("wave"), h("span", null, "Tidegate")),
    h("div.nav-group", null, links(places.filter((p) => !p.operator && !(p.tenant && operator)))),
    operator && h("div.nav-group", null, h("p.nav-title", null, "Operator"), links(places.filter((p) => p.operator))),
    h("div.who", null,
      h("div.who-text", null, h("b", null, who?.tenant ?? ""), h("span", { title: who?.key }, who?.key ?? "")),
      iconButton("Sign out", "out", signOut)),
    h("p.version", null, `Tidegate ${version}`, operator && !isAdminDoor && " · S3 door"));
}

/** The page begins anew, so that nothing of the key is left in its memory. */
function signOut() {
  end();
  history.replaceState(null, "", location.pathname);
  location.reload();
}

async function render() {
  if (!session()) {
    current?.leave?.();
    current = null;
    shell = null;
    show(app, signIn(render));
    return;
  }
  if (!shell) {
    shell = h("div.shell", null, h("a.skip", { href: "#content", onclick: (event) => { event.preventDefault(); content.focus(); } }, "Skip to content"), sidebar(), content, uploadTray());
    show(app, shell);
  }
  const found = route(location.hash);
  for (const link of shell.querySelectorAll(".nav")) {
    const isHere = link.dataset.path === found.section;
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${found.title} · Tidegate`;
  if (current?.goTo?.(found)) return;
  current?.leave?.();
  current = null;
  show(content, waiting());
  const asked = location.hash;
  try {
    const view = await found.view(found);
    if (location.hash !== asked) return view.leave?.();
    current = view;
    show(content, view.element ?? view);
  } catch (error) {
    if (error?.name !== "AbortError" && location.hash === asked) show(content, fault(error, render));
  }
}

addEventListener("hashchange", () => {
  render();
  if (!current?.goTo) scrollTo(0, 0);
});
// A slash looks for something, as in many places.
addEventListener("keydown", (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.key !== "/" || event.ctrlKey || event.metaKey || target.closest("input, textarea, select, dialog")) return;
  const box = document.querySelector("input[type=search]");
  if (box) {
    event.preventDefault();
    /** @type {HTMLElement} */ (box).focus();
  }
});
render();

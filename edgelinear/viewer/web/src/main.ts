/** The view of a wiring: as a widget in a notebook, and as the page that it is saved as. */

import { Keeper } from "./chosen";
import { surroundsAreDark, THEMES, watchSurroundings } from "./colours";
import { ComparePane } from "./compare";
import { button, counted, enable, make } from "./dom";
import { Graph } from "./graph";
import { begin, bind, chosenBy, type Linked } from "./linked";
import { MatrixPane } from "./matrix";
import { Seen } from "./named";
import { PartnersPane } from "./partners";
import { PathsPane } from "./paths";
import type { Meta, Saved } from "./protocol";
import { modelOf, Recorded } from "./saved";
import { Messages, type Model, type Source } from "./source";
import style from "./style.css";

const GONE =
  "Python no longer answers: the kernel was restarted or is busy. Run the cell again. " +
  "What is here stays, and the page goes on asking.";

/** What a front-end of notebooks calls. Returns what it calls when the view is taken away. */
function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const ended = new AbortController();
  const banner = make("p", { class: "banner", role: "alert" });
  const silent = (isSilent: boolean) => {
    banner.textContent = isSilent ? GONE : "";
  };
  const source = new Messages(model, silent, ended.signal);
  mount(el, model, source, [banner], ended.signal);
  return () => ended.abort();
}

export default { render };

/** Put the panes into an element, where no style of the page around them reaches. */
function mount(
  el: HTMLElement,
  model: Model,
  source: Source,
  above: HTMLElement[],
  signal: AbortSignal,
): HTMLElement {
  const linked = begin(model, source);
  const { meta } = linked;
  const view = make("div", { class: "view", role: "group", "aria-label": `View of ${meta.title}` });
  paint(view, linked, model, signal);

  const heard = make("p", { class: "unseen", role: "status", "aria-live": "polite" });
  const say = (text: string) => {
    // The same words once more are a change too.
    heard.textContent = heard.textContent === text ? `${text} ` : text;
  };
  const seen = new Seen(source);
  const panes = make(
    "div",
    { class: "panes" },
    new MatrixPane(source, linked, say, signal).element,
    new ComparePane(linked).element,
    new PartnersPane(source, linked, seen, say).element,
    new PathsPane(source, linked, seen, new Graph(linked, signal), say).element,
  );
  view.append(title(meta), ...above, chosen(linked), panes, heard);
  bind(linked, model, signal);

  // Notebooks of Jupyter leave keys alone in an element with this attribute.
  const host = make("div", { class: "edgelinear-view", "data-lm-suppress-shortcuts": "true" });
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style);
  root.adoptedStyleSheets = [sheet];
  root.append(view);
  host.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
  });
  Object.assign(host, { ask: source.ask.bind(source) }); // for scripts, and for consoles
  el.replaceChildren(host);
  return view;
}

/** Have the colours of what stands around the view, or those that were asked for. */
function paint(view: HTMLElement, linked: Linked, model: Model, signal: AbortSignal): void {
  const choose = () => {
    const theme = model.get("_theme");
    const dark = theme === "auto" ? surroundsAreDark() : theme === "dark";
    for (const [name, colour] of Object.entries(THEMES[dark ? "dark" : "light"])) {
      view.style.setProperty(`--${name}`, colour);
    }
    view.style.colorScheme = dark ? "dark" : "light";
    view.dataset.theme = dark ? "dark" : "light";
    linked.set({ dark });
  };
  choose();
  watchSurroundings(choose, signal);
  model.on("change:_theme", choose);
  signal.addEventListener("abort", () => model.off("change:_theme", choose));
}

function title({ kind, title, caption, notes, digest, version }: Meta): HTMLElement {
  const said = caption === undefined ? kind : `${kind}, ${title}`;
  const about = `${said}, wiring ${digest.slice(0, 12)}, edgelinear ${version}`;
  const says = notes.map((note) => make("li", {}, note));
  return make(
    "header",
    {},
    make("h2", {}, caption ?? title),
    make("p", { class: "about" }, about),
    ...(says.length > 0 ? [make("ul", { class: "notes" }, ...says)] : []),
  );
}

/** What is selected, which is what Python gets. */
function chosen(linked: Linked): HTMLElement {
  const said = make("span", {});
  const clear = button("Clear", () => linked.clear(), { "aria-label": "Clear the selection" });
  const adding = make("input", { type: "checkbox" });
  adding.addEventListener("change", () => linked.set({ adding: adding.checked }));
  const label = make("label", { class: "check" }, adding, "Add to what is selected");
  const tell = () => {
    const { total, nodes } = linked.shown;
    said.textContent = `Selected: ${counted(total, "edge")}, ${counted(nodes.length, "node")}`;
    enable(clear, total + nodes.length > 0);
  };
  linked.watch(["edges", "total", "nodes"], tell);
  tell();
  const attributes = { class: "chosen", role: "group", "aria-label": "Selection" };
  return make("div", attributes, said, clear, label);
}

/** A page that was saved begins by itself. */
function openSaved(): void {
  const data = document.getElementById("edgelinear-saved");
  const place = document.getElementById("edgelinear-view");
  if (!data?.textContent || !place) return;
  const saved = JSON.parse(data.textContent) as Saved;
  const { signal } = new AbortController(); // it stays as long as the page
  const model = modelOf(saved.traits);
  const source = new Keeper(new Recorded(saved), chosenBy(model));
  const view = mount(place, model, source, [], signal);
  const footer = document.getElementById("edgelinear-footer");
  if (footer) view.append(footer); // where it has the colours of the view
  const around = () => {
    document.body.style.margin = "0";
    document.documentElement.style.background = THEMES[view.dataset.theme as "light"].ground;
  };
  around();
  new MutationObserver(around).observe(view, { attributeFilter: ["data-theme"] });
}

openSaved();

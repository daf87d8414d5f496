"use strict";
// Keys, local times on hover, focus after a swap. Every page can be read without it.
(() => {
  const rows = () => [...document.querySelectorAll("table.rows tbody tr")];
  // A dialog that was just closed keeps the focus for a frame: only an open one takes the keys.
  const typing = (el) => el.closest("input, select, textarea, dialog[open], [contenteditable]") !== null;
  function move(step) {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((row) => row.classList.contains("at"));
    const next = now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + step, 0), all.length - 1);
    all.forEach((row) => row.classList.remove("at"));
    all[next].classList.add("at");
    (all[next].querySelector("a") ?? all[next]).focus();
    all[next].scrollIntoView({ block: "nearest" });
  }
  const at = () => document.querySelector("table.rows tr.at") ?? document.activeElement?.closest?.("table.rows tr");
  function reach(selector) {
    const found = document.querySelector(selector);
    if (!found) return false;
    for (let fold = found.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    found.focus();
    found.scrollIntoView({ block: "center" });
    return true;
  }
  const keys = {
    j: () => move(1),
    k: () => move(-1),
    o: () => { const open = at()?.dataset.open; if (open) location.assign(open); },
    a: () => { if (reach("#step, #act-ask")) return; at()?.querySelector("form.take")?.requestSubmit(); },
    x: () => at()?.querySelector("input[type=checkbox]")?.click(),
    n: () => reach("#note"),
    q: () => document.querySelector('nav a[href$="/queue"]')?.click(),
    "/": () => reach('input[type="search"], textarea.code'),
    "?": () => document.querySelector("#keys")?.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const deed = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
    if (!deed) return;
    event.preventDefault();
    deed();
  });
  document.addEventListener("mouseover", (event) => {
    const time = event.target.closest?.("time[datetime]");
    if (!time || time.dataset.local) return;
    time.dataset.local = "1";
    const there = new Date(time.dateTime);
    if (!isNaN(there)) time.title = `${time.title} · ${there.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" })} here`;
  });
  document.addEventListener("focusin", (event) => {
    const row = event.target.closest?.("table.rows tbody tr");
    if (!row) return;
    rows().forEach((other) => other.classList.toggle("at", other === row));
  });
  const showAll = () => document.querySelectorAll("input[data-all]").forEach((all) => { all.closest("label").hidden = false; });
  showAll();
  document.addEventListener("htmx:after:swap", () => {
    showAll();
    const caption = document.querySelector("#rows caption, #members caption");
    const said = document.querySelector("#said");
    if (said && caption) said.textContent = caption.dataset.said ?? "";
  });
  document.addEventListener("change", (event) => {
    const all = event.target;
    if (!all.matches?.("input[data-all]")) return;
    for (const box of document.querySelectorAll(`input[name="${all.dataset.all}"]`)) box.checked = all.checked;
  });
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("main details")) fold.open = true;
  });
})();

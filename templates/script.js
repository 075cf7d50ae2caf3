"use strict";

// The pages work without this script; it adds search, copy buttons and the choice of a tag.

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
  } catch {
    // Without https, only the selection can be copied.
    getSelection().selectAllChildren(element);
    document.execCommand("copy");
  }
}

for (const button of findAll("button")) {
  const label = button.firstChild;
  const word = label.data;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await copy(button.previousElementSibling);
    label.data = "Copied";
    find("#copied").textContent = "Copied";
    setTimeout(() => {
      label.data = word;
      find("#copied").textContent = "";
    }, 2000);
  });
}

function startSearch() {
  const input = find("#search");
  const status = find("#status");
  const nothing = find("#nothing");
  const list = find("#images");
  const forms = findAll("#forms input");
  const summary = status.textContent;
  const rows = findAll("li", list).map((element) => {
    const link = find("a", element);
    const code = find("code", element);
    const name = link.textContent;
    return {
      element,
      link,
      href: link.getAttribute("href"),
      name,
      last: name.slice(name.lastIndexOf("/") + 1),
      tags: (element.dataset.tags ?? "").split(" "),
      code,
      suggested: code?.dataset.tag,
    };
  });

  // A term after the last colon is the start of a tag. Each other one is part of the name,
  // or the start of a tag. Returns the rank of the row and the tag that was meant, or
  // nothing.
  function match(row, query) {
    const [, name, explicit] = /^(.*?)(?::([^:/\s]*))?$/.exec(query);
    const ofTag = explicit ? [explicit] : [];
    let rank = 2;
    for (const term of name.split(/\s+/)) {
      if (!row.name.includes(term)) ofTag.push(term);
      else if (row.last === term) rank = 0;
      else if (row.last.startsWith(term)) rank = Math.min(rank, 1);
    }
    if (ofTag.length === 0) return { rank };
    const tags = row.tags.filter((tag) => ofTag.every((term) => tag.toLowerCase().startsWith(term)));
    const tag = tags.find((tag) => ofTag.includes(tag.toLowerCase())) ?? tags[0];
    return tag === undefined ? undefined : { rank, tag };
  }

  function line(row, tag) {
    const { before, after } = forms.find((form) => form.checked).dataset;
    return `${before}${row.name}:${tag}${after}`;
  }

  function update() {
    const query = input.value.trim().toLowerCase();
    const found = [];
    for (const row of rows) {
      const matched = match(row, query);
      row.element.hidden = matched === undefined;
      if (matched === undefined) continue;
      found.push({ row, rank: query === "" ? 0 : matched.rank });
      if (row.code === null) continue;
      const text = line(row, matched.tag ?? row.suggested);
      if (row.code.textContent !== text) row.code.textContent = text;
      const anchor = matched.tag === undefined ? "" : `#tag-${matched.tag}`;
      row.link.setAttribute("href", row.href + anchor);
    }
    found.sort((a, b) => a.rank - b.rank);
    const order = found.map(({ row }) => row.element);
    const shown = findAll("li:not([hidden])", list);
    if (order.some((element, i) => element !== shown[i])) list.prepend(...order);
    nothing.hidden = found.length > 0;
    status.textContent = query === "" ? summary : `${found.length} of ${rows.length} images`;
    const search = query === "" ? "" : `?q=${encodeURIComponent(query)}`;
    try {
      history.replaceState(null, "", location.pathname + search);
    } catch {
      // A page in a file has no address to change.
    }
  }

  function move(by) {
    const shown = findAll("li:not([hidden])", list);
    const to = shown.indexOf(document.activeElement.closest("li")) + by;
    if (to < 0) input.focus();
    else if (to < shown.length) find("a", shown[to]).focus();
  }

  input.disabled = false;
  find("#forms").hidden = false;
  try {
    const saved = forms[localStorage.getItem("form")];
    if (saved !== undefined) saved.checked = true;
  } catch {
    // The browser keeps nothing for this page.
  }
  for (const form of forms) {
    form.addEventListener("change", () => {
      try {
        localStorage.setItem("form", form.value);
      } catch {
        // As above.
      }
      update();
    });
  }
  input.addEventListener("input", update);
  document.addEventListener("keydown", (event) => {
    const isInList = input === document.activeElement || list.contains(document.activeElement);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowDown" && isInList) {
      move(1);
    } else if (event.key === "ArrowUp" && list.contains(document.activeElement)) {
      move(-1);
    } else if (event.key === "Escape" && isInList) {
      input.value = "";
      input.focus();
      update();
    } else {
      return;
    }
    event.preventDefault();
  });
  input.value = new URLSearchParams(location.search).get("q") ?? "";
  update();
}

function startChoice() {
  const select = find("#tag");
  function update() {
    const { value, dataset } = select.selectedOptions[0];
    for (const tag of findAll(".line .tag")) tag.textContent = value;
    for (const digest of findAll(".line .digest")) digest.textContent = dataset.digest;
  }
  function follow() {
    const tag = location.hash.replace(/^#tag-/, "");
    const option = [...select.options].find((option) => option.value === tag);
    if (option !== undefined) option.selected = true;
    update();
  }
  find("#choice").hidden = false;
  select.addEventListener("change", update);
  addEventListener("hashchange", follow);
  follow();
}

if (find("#search") !== null) startSearch();
if (find("#tag") !== null) startChoice();

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
  const screenful = 40;
  const rows = findAll("li", list).map((element) => {
    const link = find("a", element);
    const code = find("code", element);
    const name = link.textContent;
    const tags = ` ${element.dataset.tags ?? ""} `;
    return {
      element,
      link,
      href: link.getAttribute("href"),
      name,
      last: name.slice(name.lastIndexOf("/") + 1),
      tags,
      lowerTags: tags.toLowerCase(),
      code,
      line: code?.textContent,
      suggested: code?.dataset.tag,
    };
  });

  // A term after the last colon is the start of a tag. Each other one is part of the name,
  // or the start of a tag.
  function parse(query) {
    const [, name, tag] = /^(.*?)(?::([^:/\s]*))?$/s.exec(query);
    return { terms: name.split(/\s+/), tags: tag ? [tag] : [] };
  }

  // Returns the rank of the row and the tag that was meant, or nothing.
  function match(row, query) {
    const ofTag = [...query.tags];
    let rank = 2;
    for (const term of query.terms) {
      if (!row.name.includes(term)) ofTag.push(term);
      else if (row.last === term) rank = 0;
      else if (row.last.startsWith(term)) rank = Math.min(rank, 1);
    }
    if (ofTag.length === 0) return { rank };
    const start = ofTag.reduce((a, b) => (b.length > a.length ? b : a));
    if (!ofTag.every((term) => start.startsWith(term))) return;
    const exact = row.lowerTags.indexOf(` ${start} `);
    const at = exact === -1 ? row.lowerTags.indexOf(` ${start}`) : exact;
    if (at === -1) return;
    return { rank, tag: row.tags.slice(at + 1, row.tags.indexOf(" ", at + 1)) };
  }

  function show({ row, tag }) {
    row.element.hidden = false;
    if (row.code === null) return;
    const { before, after } = forms.find((form) => form.checked).dataset;
    const line = `${before}${row.name}:${tag ?? row.suggested}${after}`;
    if (row.line !== line) row.code.textContent = row.line = line;
    const href = tag === undefined ? row.href : `${row.href}#tag-${tag}`;
    if (row.link.getAttribute("href") !== href) row.link.setAttribute("href", href);
  }

  // Shows a screenful at once, and the others in the next frames.
  let frame;
  function showAll(found) {
    cancelAnimationFrame(frame);
    found.slice(0, screenful).forEach(show);
    if (found.length > screenful) {
      frame = requestAnimationFrame(() => showAll(found.slice(screenful)));
    }
  }

  let timer;
  function keepInAddress() {
    clearTimeout(timer);
    const query = input.value.trim();
    const search = query === "" ? "" : `?q=${encodeURIComponent(query.toLowerCase())}`;
    if (search === location.search) return;
    try {
      history.replaceState(null, "", location.pathname + search);
    } catch {
      // A page in a file has no address to change.
    }
  }

  // Moves those of the elements that are not in this order.
  function arrange(elements) {
    const wanted = new Set(elements);
    const from = (element) => {
      while (element !== null && !wanted.has(element)) element = element.nextElementSibling;
      return element;
    };
    let next = from(list.firstElementChild);
    for (const element of elements) {
      if (element === next) next = from(next.nextElementSibling);
      else list.insertBefore(element, next);
    }
  }

  function update() {
    const query = input.value.trim().toLowerCase();
    const parsed = parse(query);
    const found = [];
    for (const row of rows) {
      const matched = match(row, parsed);
      if (matched !== undefined) {
        found.push({ row, tag: matched.tag, rank: query === "" ? 0 : matched.rank });
      } else if (!row.element.hidden) {
        row.element.hidden = true;
      }
    }
    found.sort((a, b) => a.rank - b.rank);
    arrange(found.map(({ row }) => row.element));
    showAll(found);
    nothing.hidden = found.length > 0;
    status.textContent = query === "" ? summary : `${found.length} of ${rows.length} images`;
    clearTimeout(timer);
    timer = setTimeout(keepInAddress, 200);
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
  list.addEventListener("click", keepInAddress);
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

"use strict";
// Sorting, filtering and paging. All data is in the file already.

const FIRST_COURSES = 25;
const ROWS_AT_ONCE = 100;
const ROWS_FOUND = 20;

const byId = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat("en");

function localTimes() {
  const words = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  for (const time of document.querySelectorAll("time")) {
    time.title = time.textContent;
    time.textContent = words.format(new Date(time.dateTime));
  }
}

// Calls `use` with the text of a field, in lower case, after 100 ms without typing.
function onTyping(field, use) {
  let waiting;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => use(field.value.trim().toLowerCase()), 100);
  });
}

function courses() {
  const table = byId("course-table");
  if (!table) return;
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const more = byId("course-more");
  const rows = [...body.rows].map((row) => ({
    row,
    values: [
      row.cells[0].textContent,
      Number(row.cells[1].dataset.value),
      Number(row.cells[2].dataset.value),
    ],
  }));
  let needle = "";
  let all = false;

  function show() {
    const found = rows.filter(({ values }) => values[0].toLowerCase().includes(needle));
    const shown = new Set(all || needle ? found : found.slice(0, FIRST_COURSES));
    for (const one of rows) one.row.hidden = !shown.has(one);
    more.hidden = needle !== "" || rows.length <= FIRST_COURSES;
    more.firstElementChild.textContent = all
      ? `Show the first ${FIRST_COURSES} only`
      : `Show all ${numbers.format(rows.length)} courses`;
    byId("course-found").textContent = needle
      ? `${numbers.format(found.length)} of ${numbers.format(rows.length)} courses`
      : "";
  }

  function sort(column) {
    // Names start from A, numbers from the largest. A second click reverses the order.
    const first = column === 0 ? "ascending" : "descending";
    const second = column === 0 ? "descending" : "ascending";
    const order = headers[column].getAttribute("aria-sort") === first ? second : first;
    for (const header of headers) header.removeAttribute("aria-sort");
    headers[column].setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    rows.sort(({ values: { [column]: a } }, { values: { [column]: b } }) =>
      a === b ? 0 : a < b ? -sign : sign,
    );
    body.append(...rows.map(({ row }) => row));
    show();
  }

  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(column));
    header.append(button);
  });
  more.firstElementChild.addEventListener("click", () => {
    all = !all;
    show();
  });
  onTyping(byId("course-filter"), (typed) => {
    needle = typed;
    show();
  });
  byId("course-controls").hidden = rows.length <= FIRST_COURSES;
  show();
}

function failures() {
  const controls = byId("failure-controls");
  if (!controls) return;
  const { texts, groups } = JSON.parse(byId("failure-data").textContent);
  const reasons = [...document.querySelectorAll("details.reason")].map((details, number) => ({
    details,
    words: details.querySelector(".words").textContent,
    rows: groups[number].map(([identifier, course, error]) => [
      identifier,
      texts[course],
      texts[error],
    ]),
    number: details.querySelector(".count"),
    count: details.querySelector(".count").textContent,
    columns: details.querySelector("thead").rows[0].cells.length,
    body: details.querySelector("tbody"),
    more: details.querySelector(".more"),
    rest: details.querySelector(".rest"),
  }));
  const total = reasons.reduce((sum, { rows }) => sum + rows.length, 0);

  // Fills a reason's table up to `most` rows, and labels the button for the next ones.
  function fill(reason, rows, most) {
    for (const cells of rows.slice(reason.body.rows.length, most)) {
      const row = reason.body.insertRow();
      for (const text of cells.slice(0, reason.columns)) {
        const words = document.createElement("bdi");
        words.textContent = text;
        row.insertCell().append(words);
      }
    }
    const shown = reason.body.rows.length;
    const left = rows.length - shown;
    const button = reason.more.firstElementChild;
    const next = numbers.format(Math.min(left, ROWS_AT_ONCE));
    button.textContent = `Show ${next} more of ${numbers.format(left)}`;
    button.onclick = () => fill(reason, rows, shown + ROWS_AT_ONCE);
    reason.more.hidden = left === 0;
  }

  function find(needle) {
    let found = 0;
    const has = (text) => text.toLowerCase().includes(needle);
    for (const reason of reasons) {
      const rows = has(reason.words)
        ? reason.rows
        : reason.rows.filter((cells) => cells.some(has));
      found += rows.length;
      reason.details.hidden = rows.length === 0;
      reason.details.open = needle !== "";
      reason.number.textContent = needle
        ? `${numbers.format(rows.length)} of ${reason.count}`
        : reason.count;
      reason.body.replaceChildren();
      fill(reason, rows, needle ? ROWS_FOUND : ROWS_AT_ONCE);
    }
    byId("failure-found").textContent = needle
      ? `${numbers.format(found)} of ${numbers.format(total)}`
      : "";
  }

  for (const reason of reasons) {
    if (reason.rest) reason.rest.hidden = true;
    fill(reason, reason.rows, 0); // keeps the rows of the template
  }
  onTyping(byId("failure-filter"), find);
  controls.hidden = false;
}

localTimes();
courses();
failures();

"use strict";
const SECOND = 1000;

/** Replace the parts that have changed, and no others, which keep their selection and scrolling. */
async function refresh() {
  let there = false;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const fresh of page.querySelectorAll("[data-live]")) {
      const shown = document.getElementById(fresh.id);
      if (shown && !shown.isEqualNode(fresh)) shown.replaceWith(document.adoptNode(fresh));
    }
    there = answer.ok;
  } catch {
    // It has been stopped; it may come back at the same address.
  }
  document.getElementById("gone").hidden = there;
  setTimeout(refresh, SECOND);
}

setTimeout(refresh, SECOND);

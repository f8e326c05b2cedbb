// Suggests what the search box may mean while one types: a list that is gone
// through with the arrow keys and left with Escape. What is chosen is searched
// for, as if it had been typed whole.
const box = document.getElementById("q");
const list = document.createElement("ul");
const pause = 150; // milliseconds without a key before the node is asked

list.id = "suggestions";
list.hidden = true;
list.setAttribute("role", "listbox");
list.setAttribute("aria-label", "Suggestions");
box.after(list);
for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id })) box.setAttribute(name, value);

let timer;
let asked; // what aborts the question on its way
let typed = ""; // what the visitor typed, which is shown again when no suggestion is marked
let marked = -1; // index of the marked suggestion

// numbers are the kinds of things that are called by a number alone.
const numbers = ["block", "deal", "order", "channel"];
const textOf = (found) => (numbers.includes(found.type) ? `${found.type} ${found.id}` : found.id);

function shut() {
  clearTimeout(timer);
  asked?.abort();
  marked = -1;
  list.hidden = true;
  list.replaceChildren();
  box.setAttribute("aria-expanded", "false");
  box.removeAttribute("aria-activedescendant");
}

function mark(i) {
  const options = [...list.children];
  marked = i;
  options.forEach((o, k) => o.setAttribute("aria-selected", String(k === i)));
  if (i < 0) {
    box.value = typed;
    box.removeAttribute("aria-activedescendant");
    return;
  }
  box.value = options[i].dataset.text;
  box.setAttribute("aria-activedescendant", options[i].id);
  options[i].scrollIntoView({ block: "nearest" });
}

function choose(option) {
  box.value = option.dataset.text;
  shut();
  box.form.requestSubmit();
}

function show(found) {
  list.replaceChildren(
    ...found.map((one, i) => {
      const option = document.createElement("li");
      option.id = "suggestion-" + i;
      option.dataset.text = textOf(one);
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      const kind = document.createElement("span");
      kind.className = "faint";
      kind.textContent = one.type;
      option.append(kind, " ", one.id);
      option.addEventListener("mousedown", (e) => e.preventDefault()); // the box keeps the focus
      option.addEventListener("click", () => choose(option));
      return option;
    }),
  );
  marked = -1;
  list.hidden = found.length === 0;
  box.setAttribute("aria-expanded", String(found.length > 0));
}

async function suggest() {
  asked?.abort();
  asked = new AbortController();
  try {
    const answer = await fetch("/v1/search/suggest?q=" + encodeURIComponent(typed.trim()), { signal: asked.signal });
    if (answer.ok) show((await answer.json()).items);
  } catch {
    // the node is away, or something else was typed: then there is nothing to suggest
  }
}

box.addEventListener("input", () => {
  shut();
  typed = box.value;
  if (typed.trim()) timer = setTimeout(suggest, pause);
});

box.addEventListener("keydown", (e) => {
  const n = list.children.length;
  if (list.hidden || e.isComposing) return;
  if (e.key === "ArrowDown") mark(marked + 1 < n ? marked + 1 : -1);
  else if (e.key === "ArrowUp") mark(marked < 0 ? n - 1 : marked - 1);
  else if (e.key === "Escape") {
    mark(-1);
    shut();
  } else if (e.key === "Enter" && marked >= 0) choose(list.children[marked]);
  else return;
  e.preventDefault();
});

box.addEventListener("blur", shut);

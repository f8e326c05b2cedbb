// What stands around the content: it shows the page in the theme that was chosen
// here before, or in the system's, and lets the reader choose: auto, light,
// dark. It runs before the page is drawn, so that nothing flashes.
(() => {
  const key = "perdure-theme";
  const choices = ["auto", "light", "dark"];
  const read = () => {
    try {
      return choices.find((c) => c === localStorage.getItem(key)) ?? "auto";
    } catch {
      return "auto"; // storage is closed to us
    }
  };
  const show = (choice) => {
    if (choice === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
  };
  let choice = read();
  show(choice);
  addEventListener("DOMContentLoaded", () => {
    // By hand: scrollIntoView would have the tabulator begin there, past the link that skips all this.
    for (const here of document.querySelectorAll("nav [aria-current]")) {
      const list = here.closest("ul");
      list.scrollLeft += here.getBoundingClientRect().left - list.getBoundingClientRect().left - (list.clientWidth - here.offsetWidth) / 2;
    }
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = "◐ " + choice;
      button.title = "Theme: " + { auto: "as the system has it", light: "light", dark: "dark" }[choice];
      button.setAttribute("aria-label", "Theme: " + choice);
    };
    label();
    button.hidden = false;
    button.addEventListener("click", () => {
      choice = choices[(choices.indexOf(choice) + 1) % choices.length];
      show(choice);
      label();
      try {
        localStorage.setItem(key, choice);
      } catch {
        // then it holds for this page only
      }
    });
  });
})();

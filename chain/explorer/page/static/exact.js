// Copying a value that is shown for people copies the exact one: 1.25 PDR as
// 1250000000000000000, a shortened hash whole, a time as RFC 3339.
document.addEventListener("copy", (event) => {
  const selection = getSelection();
  if (!selection || selection.rangeCount !== 1) return;
  const range = selection.getRangeAt(0);
  const inside = range.commonAncestorContainer;
  const near = inside.nodeType === Node.ELEMENT_NODE ? inside : inside.parentElement;
  const found = near?.closest("data, time") ?? single(near, range);
  if (!found || selection.toString().trim() !== found.textContent.trim()) return;
  event.clipboardData.setData("text/plain", found.value ?? found.dateTime);
  event.preventDefault();
});

// single is the one value that a selection around it touches.
function single(near, range) {
  const touched = [...(near?.querySelectorAll("data, time") ?? [])].filter((e) => range.intersectsNode(e));
  return touched.length === 1 ? touched[0] : undefined;
}

// A trial's star and note. What someone is writing is never replaced by what comes from the server.
const noting = (holder, block) => {
  holder.block = block;
  if (!boot.notes) {
    holder.parentNode.hidden = !block.star && !block.text && !block.wrong;
    holder.replaceChildren(make("p", { className: "note-text", textContent: `${block.star ? "\u2605 " : ""}${block.wrong || block.text}` }));
    return;
  }
  if (!holder.text) {
    holder.star = make("button", { type: "button", className: "star" });
    holder.text = make("textarea", { rows: 2, maxLength: 4000, placeholder: "a note on this trial", ariaLabel: "note" });
    holder.said = make("span", { className: "said" });
    holder.said.setAttribute("role", "status");
    const send = async (star, text) => {
      const { study } = here();
      holder.said.textContent = "\u2026";
      try {
        const reply = await fetch(`note/${encodeURIComponent(study)}/${holder.block.trial}`, {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ star, text }),
        });
        holder.said.textContent = reply.ok ? "saved" : `not saved: ${(await reply.text()).trim()}`;
        if (reply.ok) { Object.assign(holder.block, { star, text }); noting(holder, holder.block); show(false); }
      } catch { holder.said.textContent = "not saved: the dashboard does not answer"; }
    };
    holder.star.addEventListener("click", () => send(!holder.block.star, holder.text.value));
    holder.text.addEventListener("change", () => send(holder.block.star, holder.text.value));
    holder.replaceChildren(holder.star, holder.text, holder.said);
  }
  holder.star.textContent = block.star ? "\u2605 starred" : "\u2606 star";
  holder.star.setAttribute("aria-pressed", String(block.star));
  if (document.activeElement !== holder.text && holder.text.value !== block.text) holder.text.value = block.text;
  if (block.wrong) holder.said.textContent = block.wrong;
};

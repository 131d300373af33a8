// What the canvases with live pictures share: the word to Python, as told in transport.py. Not a
// module: the text follows that of canvas.js and comes before that of the module that uses it.

/** A view of a model with live pictures; `shared` is what all its views share. */
class LiveView {
  constructor(/** @type {Model} */ model, /** @type {Shared} */ shared) {
    Object.assign(this, { model, shared, id: Math.random().toString(36).slice(2) });
    this.painted = 0;
    this.paintedFrame = shared.frame; // the newest live picture that this view has drawn
    this.answered = shared.asked;
  }

  /** Tell Python that there is a view, and which content it shows. */
  announce(/** @type {number} */ version) {
    this.model.send({ event: "open", view: this.id, version });
  }

  /** Tell Python that the newest live picture is on the screen, if it asked. */
  acknowledge() {
    const { frame, asked } = this.shared;
    if (frame === this.paintedFrame) return;
    this.paintedFrame = frame;
    this.painted += 1;
    if (asked === this.answered) return;
    this.answered = asked;
    this.model.send({ event: "painted", view: this.id, frame, painted: this.painted });
  }

  /** Tell Python that the view is gone. */
  takeLeave() {
    this.shared.views.delete(this);
    try {
      this.model.send({ event: "close", view: this.id });
    } catch {
      // The widget was closed, or the kernel is gone: there is nobody to tell.
    }
  }
}

/** What the module of such canvases gives: `views` are to be remade when one of `traits` changes. */
function liveModule(/** @type {Shared} */ shared, initialize, makeView, traits, more = () => ({})) {
  function render({ model, el, signal }) {
    const view = makeView(model, el, shared);
    shared.views.add(view);
    const rebuild = traits.map((name) => [`change:${name}`, () => view.build()]);
    const stop = listen(model, { ...Object.fromEntries(rebuild), ...more(view) });
    const remove = () => [stop(), view.remove()];
    signal?.addEventListener("abort", remove, { once: true });
    return remove;
  }
  return { initialize, render };
}

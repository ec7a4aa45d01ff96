// Browsers start no worker for a page that was opened from disk, and search needs one: there it runs in a hidden frame.
if (location.protocol === "file:") {
  // As between a worker and its page: a copy, and not at once.
  const later = (data, deliver) => {
    const event = new MessageEvent("message", { data: structuredClone(data) })
    setTimeout(() => deliver(event))
  }
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.addEventListener("message", event => this.onmessage?.(event))
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = frame.contentWindow
      const load = address =>
        new Promise((done, failed) => {
          const script = inside.document.createElement("script")
          Object.assign(script, { src: address, onload: done, onerror: failed })
          inside.document.head.append(script)
        })
      inside.importScripts = (...addresses) => addresses.reduce((before, each) => before.then(() => load(each)), Promise.resolve())
      inside.postMessage = data => later(data, event => this.dispatchEvent(event))
      this.inside = inside
      this.ready = load(url)
    }
    postMessage(data) {
      const inside = this.inside
      later(data, event => this.ready.then(() => inside.dispatchEvent(event)))
    }
    terminate() {
      this.inside.frameElement.remove()
    }
  }
}

// What happens in the registry, as it happens: server-sent events, while the page is looked at.

const AGAIN = [1, 2, 5, 10, 30];
const KINDS = {
  peer: "requested approved rejected revoked renewed edited moved proposed declined expiring expired",
  gateway: "added changed removed",
  cutover: "planned strangers switched confirmed lapsed returned cancelled",
  policy: "applied",
  rules: "changed",
  revision: "applied lifted rolled-back",
  rollout: "set confirmed released aborted ended",
  router:
    "added labelled removed new attached detached held released repaired put-back clock-off " +
    "clock-right silent back",
  stranger: "signed_off taken_back",
};

/** Tells `happened(kind)` of each event, `shows(state)` of live, connecting or paused. */
export class Stream {
  constructor(happened, shows, lost) {
    this.happened = happened;
    this.shows = shows;
    this.lost = lost;
    this.source = null;
    this.tries = 0;
    this.missed = false;
    this.wanted = false;
    document.addEventListener("visibilitychange", () => this.look());
  }

  start() {
    this.wanted = true;
    this.look();
  }

  stop() {
    this.wanted = false;
    this.look();
  }

  // A browser has few connections for one host: a page that nobody sees takes none.
  look() {
    clearTimeout(this.timer);
    const open = this.wanted && !document.hidden;
    if (open && this.source === null) this.open();
    if (open || this.source === null) return;
    this.source.close();
    this.source = null;
    this.missed = true;
    this.shows("paused");
  }

  open() {
    const source = new EventSource("/v1/events");
    this.source = source;
    this.shows("connecting");
    source.addEventListener("open", () => {
      this.tries = 0;
      this.shows("live");
      if (this.missed) this.happened("all");
      this.missed = false;
    });
    source.addEventListener("error", () => {
      this.missed = true;
      this.shows("connecting");
      // What was refused the browser does not ask for again.
      if (source.readyState === EventSource.CLOSED) this.again();
    });
    for (const [kind, names] of Object.entries(KINDS)) {
      for (const name of names.split(" ")) {
        source.addEventListener(`${kind}.${name}`, () => this.happened(kind));
      }
    }
  }

  again() {
    this.source = null;
    const seconds = AGAIN[Math.min(this.tries++, AGAIN.length - 1)];
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      if (this.wanted && (await this.lost())) this.look();
    }, seconds * 1000);
  }
}

// All views. One more is a file of its own, and two lines here.

import * as audit from "./views/audit.js";
import * as explain from "./views/explain.js";
import * as gateway from "./views/gateway.js";
import * as gateways from "./views/gateways.js";
import * as peer from "./views/peer.js";
import * as peers from "./views/peers.js";
import * as queue from "./views/queue.js";
import * as routers from "./views/routers.js";
import * as strangers from "./views/strangers.js";

/** `label`: in the line of views; `within`: which of them is marked; `needs`: a permission. */
export const VIEWS = [
  { path: "gateways", label: "Gateways", open: gateways.open },
  { path: "gateway", within: "gateways", open: gateway.open },
  { path: "strangers", label: "Strangers", open: strangers.open },
  { path: "peers", label: "Peers", open: peers.open },
  { path: "peer", within: "peers", open: peer.open },
  { path: "queue", label: "Queue", open: queue.open },
  { path: "routers", label: "Routers", open: routers.open },
  { path: "explain", label: "Explain", open: explain.open },
  { path: "audit", label: "Audit", needs: "audit", open: audit.open },
];

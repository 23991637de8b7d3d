// Who knocks without being registered: seen, registered, or signed off.

import { read, send } from "../parts/api.js";
import { decide } from "../parts/dialog.js";
import { button, el, facts } from "../parts/dom.js";
import { link } from "../parts/gateway.js";
import { link as peerLink } from "../parts/peer.js";
import { say } from "../parts/say.js";
import { Search } from "../parts/search.js";
import { may } from "../parts/session.js";
import { Paged } from "../parts/table.js";
import { number, several, shown } from "../parts/text.js";
import { moment, near } from "../parts/time.js";

const ORDERS = [["-minutes", "most persistent first"], ["-packets", "most packets first"], ["-last_seen", "seen last first"]];
const FIELDS = [
  { of: "gateway", label: "Gateway", kind: "search" },
  { of: "source", label: "Source", kind: "search", hint: "an address, or a prefix that it is in" },
  { of: "sort", label: "Order", kind: "select", options: ORDERS },
  { of: "covered", label: "also registered ones", kind: "check" },
  { of: "signed_off", label: "also signed off ones", kind: "check" },
];

export function open(_, query) {
  const list = new Paged({
    path: "/v1/strangers",
    query: () => search.values,
    caption: "Strangers",
    columns: [
      { name: "Source" }, { name: "Gateway" }, { name: "Service" }, { name: "Minutes", kind: "number" },
      { name: "Packets", kind: "number" }, { name: "Last seen" }, { name: "Whose" }, { name: "What to do", kind: "actions" },
    ],
    row: (stranger) => [
      shown(stranger.source),
      link(stranger.gateway),
      shown(stranger.service),
      number(stranger.minutes),
      packets(stranger),
      near(stranger.last_seen),
      stranger.owned === null ? "" : [shown(stranger.owned.owner), " ", el("span", { class: "aside" }, shown(stranger.owned.prefix))],
      actions(stranger, () => list.load()),
    ],
    empty: "No stranger like this. Routers tell of them every minute or so.",
  });
  const search = new Search("strangers", FIELDS, query, () => list.first());
  return {
    title: "Strangers",
    of: ["stranger", "peer"],
    nodes: [search.form, list.place],
    load: () => list.load(),
  };
}

function packets(stranger) {
  const error = stranger.packets_error > 0 ? ` ± ${number(stranger.packets_error)}` : "";
  return [`${number(stranger.packets)}${error} `, el("span", { class: "aside" }, stranger.dropped ? "dropped" : "passed")];
}

function actions(stranger, then) {
  const { covered } = stranger;
  const peer = covered === null ? [] : [peerLink({ id: covered.peer, name: covered.name }), ` ${covered.state} `];
  if (covered !== null && covered.state !== "expired") return peer;
  if (stranger.signed_off !== null) return [...peer, "signed off: ", shown(stranger.signed_off.reason)];
  const done = (work) => async () => {
    if ((await work(stranger)) !== null) then();
  };
  const key = stranger.id;
  return [
    ...peer,
    may("request") ? button("Register", done(register), { "data-key": `register-${key}`, "aria-label": `Register ${stranger.source}` }) : null,
    may("sign_off") ? button("Sign off", done(signOff), { "data-key": `sign-off-${key}`, "aria-label": `Sign off ${stranger.source}` }) : null,
  ].filter(Boolean);
}

async function register(stranger) {
  const { content: rules } = await read("/v1/rules");
  const { owned } = stranger;
  return decide({
    title: `Register ${stranger.source}`,
    about: about(stranger, rules),
    fields: [
      { of: "name", label: "Name", maxlength: 63, hint: "Empty: made of the source." },
      { of: "owner", label: "Owner", required: true, value: owned?.owner, hint: "The team that is responsible." },
      { of: "contact", label: "Contact", kind: "email", required: true, value: owned?.contact, hint: "Its mail address." },
      { of: "purpose", label: "Purpose", required: true, hint: "What the tunnel is for." },
      { of: "prefix_length", label: "Prefix length", kind: "number", min: 8, max: 128, hint: "Empty: this one address." },
      { of: "valid_until", label: "Valid until (UTC)", kind: "date", hint: "Empty: no end." },
      ...(rules.terms ? [{ of: "accepted", label: `I have read the terms of use, version ${rules.terms.version}, and keep to them`, kind: "check" }] : []),
    ],
    action: "Ask for it",
    submit: async ({ accepted, ...body }, once) => {
      if (accepted) body.terms = rules.terms.version;
      const { content: peer } = await send("POST", `/v1/strangers/${stranger.id}/register`, { body, once });
      say("Asked for: ", peerLink(peer), ". Somebody has to approve it.");
      return peer;
    },
  });
}

async function about(stranger, rules) {
  const { content } = await read(`/v1/strangers/${stranger.id}`);
  return [
    facts(
      ["Gateway", shown(stranger.gateway)],
      ["Service", shown(stranger.service)],
      ["First seen", moment(content.first_seen)],
      ["Last seen", near(content.last_seen)],
      ["Routers", several(content.routers)],
      ["Names", content.names?.length > 0 ? several(content.names) : ""],
    ),
    rules.terms?.url ? el("p", {}, "Terms of use: ", shown(rules.terms.url)) : null,
    rules.terms?.text ? el("div", { class: "terms", tabindex: "0", "aria-label": "Terms of use" },
      ...rules.terms.text.split("\n").map((line) => el("p", {}, shown(line, 2000)))) : null,
  ];
}

function signOff(stranger) {
  return decide({
    title: `Sign off ${stranger.source}`,
    about: [el("p", {}, "It stays a stranger: this lets nobody in. It no longer holds up a cut-over of ", shown(stranger.gateway), ".")],
    fields: [
      { of: "reason", label: "Reason", required: true, maxlength: 500 },
      { of: "until", label: "Until (UTC)", kind: "date", hint: "Empty: until it is taken back." },
    ],
    action: "Sign off",
    submit: async (values, once) => {
      const body = { gateway: stranger.gateway, prefix: stranger.source, ...values };
      await send("POST", "/v1/sign-offs", { body, once });
      say("Signed off: ", shown(stranger.source), " at ", shown(stranger.gateway), ".");
      return true;
    },
  });
}

import createClient, { type Middleware } from "openapi-fetch";
import { setClock } from "../clock";
import { copies } from "../copy";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

/** What the server refused, or could not do: one sentence of its own, and a code that does not change. */
export class ApiProblem extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string;
  readonly said: Partial<Schemas["Problem"]>;

  constructor(status: number, said: Partial<Schemas["Problem"]>, requestId: string) {
    super(said.detail ?? said.title ?? `The server answered ${status}.`);
    this.name = "ApiProblem";
    this.status = status;
    this.code = said.code ?? "unknown";
    this.requestId = said.request_id ?? requestId;
    this.said = said;
  }
}

/** Nobody answered: nothing is known of what became of the request. */
export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached.");
    this.name = "Unreachable";
  }
}

const asked = new WeakMap<Request, number>();

const ours: Middleware = {
  onRequest({ request, schemaPath }) {
    if (schemaPath === "/api/v1/session" && request.method !== "GET") void copies.forget(); // somebody leaves or comes
    asked.set(request, Date.now());
    request.headers.set("x-regime", "1");
    if (request.method !== "GET" && !request.headers.has("idempotency-key")) {
      request.headers.set("idempotency-key", newKey());
    }
    return request;
  },
  onResponse({ request, response, schemaPath }) {
    if (response.status === 401 && schemaPath !== "/api/v1/session/step-up") void copies.forget();
    const at = asked.get(request);
    if (at !== undefined) setClock(response.headers.get("date"), at, Date.now());
    return undefined;
  },
  onError() {
    return new Unreachable();
  },
};

declare global {
  interface Window {
    /** The first question of a page, on its way since before any other script (public/first.js). */
    first?: { at: number; answer: Promise<Response> } | undefined;
  }
}

function send(request: Request): Promise<Response> {
  const { first } = window;
  if (first === undefined || new URL(request.url).pathname !== "/api/v1/me") return fetch(request);
  window.first = undefined;
  asked.set(request, first.at);
  return first.answer;
}

export const api = createClient<paths>({ baseUrl: "/", credentials: "same-origin", fetch: send });
api.use(ours);

/** The same for every attempt at one act. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
}

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The data of an answer, or the problem it is. */
export async function answered<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (!response.ok) {
    const said = typeof error === "object" && error !== null ? (error as Partial<Schemas["Problem"]>) : {};
    throw new ApiProblem(response.status, said, response.headers.get("x-request-id") ?? "");
  }
  return data as T;
}

/** The data and its entity tag, which a change of it names. */
export async function tagged<T>(asked: Promise<Answer<T>>): Promise<{ data: T; etag: string }> {
  const found = await asked;
  return { data: await answered(Promise.resolve(found)), etag: found.response.headers.get("etag") ?? "" };
}

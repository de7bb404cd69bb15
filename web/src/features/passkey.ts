import { answered, api } from "@/shared/api/client";

/** Passkeys, by what browsers have of their own. What the server offers and takes is the JSON of the standard. */
export const HAS_PASSKEYS =
  typeof PublicKeyCredential === "function" && typeof PublicKeyCredential.parseCreationOptionsFromJSON === "function";

/** What a new passkey says of itself, as the server wants it. */
export async function makePasskey(offered: unknown): Promise<string> {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(offered as PublicKeyCredentialCreationOptionsJSON);
  return answerOf(navigator.credentials.create({ publicKey }));
}

/** What a passkey answers to a challenge. */
export async function askPasskey(offered: unknown): Promise<string> {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(offered as PublicKeyCredentialRequestOptionsJSON);
  return answerOf(navigator.credentials.get({ publicKey }));
}

async function answerOf(asked: Promise<Credential | null>): Promise<string> {
  try {
    const found = (await asked) as PublicKeyCredential | null;
    if (found !== null) return JSON.stringify(found.toJSON());
  } catch (error) {
    if (error instanceof DOMException && error.name === "InvalidStateError")
      throw new Error("This device has a passkey here already.");
    if (!(error instanceof DOMException)) throw error;
  }
  throw new Error("No passkey was given: it was cancelled, or took too long. Nothing was changed.");
}

/** What a passkey of whoever is coming in, or is in, answers to a challenge of the server. */
export async function passkeyAnswer(): Promise<string> {
  return askPasskey(await answered(api.POST("/api/v1/session/passkey-options")));
}

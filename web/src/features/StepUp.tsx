import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { answered, api, type Schemas } from "@/shared/api/client";
import { meQuery, sessionQuery } from "@/shared/api/queries";
import { Button } from "@/shared/ui/Button";
import { TextField } from "@/shared/ui/Field";
import { HAS_PASSKEYS, passkeyAnswer } from "./passkey";

type Proof = Schemas["ProofIn"];
const NAMES = { totp: "six digits of your authenticator", password: "your password" };

/** Proving again who one is, with the second factor where there is one. */
export function StepUp({ onDone }: { onDone: () => void }) {
  const queries = useQueryClient();
  const { data: session } = useQuery(sessionQuery);
  const factors = session?.factors ?? [];
  const hasPasskey = factors.includes("passkey") && HAS_PASSKEYS;
  const kind = factors.includes("totp") ? "totp" : factors.includes("passkey") ? null : "password";
  const [value, setValue] = useState("");
  const prove = useMutation({
    mutationFn: async (proof: Proof | "passkey") => {
      const body: Proof = proof === "passkey" ? { kind: "passkey", value: await passkeyAnswer() } : proof;
      return answered(api.POST("/api/v1/session/step-up", { body }));
    },
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: meQuery.queryKey });
      onDone();
    },
  });
  return (
    <fieldset className="grid gap-2 rounded-control border border-line p-3">
      {kind === null && !hasPasskey ? (
        <p>Prove who you are with your passkey, in a browser that knows passkeys: this one does not.</p>
      ) : null}
      {kind === null ? null : (
        <TextField
          label={`Prove who you are: ${NAMES[kind]}`}
          type={kind === "totp" ? "text" : "password"}
          inputMode={kind === "totp" ? "numeric" : "text"}
          autoComplete={kind === "totp" ? "one-time-code" : "current-password"}
          value={value}
          onValue={setValue}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            event.preventDefault(); // it proves, and sends nothing around it
            if (value !== "") prove.mutate({ kind, value });
          }}
        />
      )}
      {prove.isError ? <p role="alert">{prove.error.message}</p> : null}
      <div className="flex flex-wrap gap-2">
        {kind === null ? null : (
          <Button disabled={value === "" || prove.isPending} onClick={() => prove.mutate({ kind, value })}>
            Prove it
          </Button>
        )}
        {hasPasskey ? (
          <Button disabled={prove.isPending} onClick={() => prove.mutate("passkey")}>
            Prove it with a passkey
          </Button>
        ) : null}
      </div>
    </fieldset>
  );
}

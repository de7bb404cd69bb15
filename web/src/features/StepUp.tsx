import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { answered, api } from "@/shared/api/client";
import { meQuery, sessionQuery } from "@/shared/api/queries";
import { Button } from "@/shared/ui/Button";
import { TextField } from "@/shared/ui/Field";

/** Proving again who one is, with the second factor where there is one. */
export function StepUp({ onDone }: { onDone: () => void }) {
  const queries = useQueryClient();
  const { data: session } = useQuery(sessionQuery);
  const kind = session?.factors.includes("totp") ? "totp" : "password";
  const [value, setValue] = useState("");
  const prove = useMutation({
    mutationFn: () => answered(api.POST("/api/v1/session/step-up", { body: { kind, value } })),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: meQuery.queryKey });
      onDone();
    },
  });
  return (
    <div className="grid gap-2 rounded-control border border-line p-3">
      <TextField
        label={`Prove who you are: ${kind === "totp" ? "six digits of your authenticator" : "your password"}`}
        type={kind === "totp" ? "text" : "password"}
        inputMode={kind === "totp" ? "numeric" : "text"}
        autoComplete={kind === "totp" ? "one-time-code" : "current-password"}
        value={value}
        onValue={setValue}
      />
      {prove.isError ? <p role="alert">{prove.error.message}</p> : null}
      <Button disabled={value === "" || prove.isPending} onClick={() => prove.mutate()}>
        Prove it
      </Button>
    </div>
  );
}

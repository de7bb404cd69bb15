import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { Door } from "@/features/door";
import { HAS_PASSKEYS, passkeyAnswer } from "@/features/passkey";
import { answered, api } from "@/shared/api/client";
import { Button } from "@/shared/ui/Button";
import { TextField } from "@/shared/ui/Field";

export const Route = createFileRoute("/login")({
  validateSearch: (said: Record<string, unknown>): { next?: string } => {
    const next = placeOfOurs(said.next);
    return next === null ? {} : { next };
  },
  component: Login,
});

/** A path of ours: one slash, and what follows is no host. */
function placeOfOurs(said: unknown): string | null {
  return typeof said === "string" && /^\/(?![/\\])/.test(said) ? said : null;
}

function Login() {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { next } = Route.useSearch();
  const [login, setLogin] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const done = () => {
    queries.clear();
    void navigate({ href: placeOfOurs(next) ?? "/overview", replace: true });
  };
  const enter = useMutation({
    mutationFn: () => answered(api.POST("/api/v1/session", { body: { login: login.trim(), password } })),
    onSuccess: (session) => (session.awaits_factor ? setPassword("") : done()),
  });
  const prove = useMutation({
    mutationFn: async (by: "code" | "passkey") => {
      const typed = code.trim();
      const kind = by === "passkey" ? by : /^\d{6}$/.test(typed) ? "totp" : "recovery_code";
      const value = by === "passkey" ? await passkeyAnswer() : typed;
      return answered(api.POST("/api/v1/session/factor", { body: { kind, value } }));
    },
    onSuccess: done,
  });
  const factors = enter.data?.factors ?? [];
  const awaits = enter.data?.awaits_factor === true;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (awaits) prove.mutate("code");
    else enter.mutate();
  };
  const error = awaits ? prove.error : enter.error;
  return (
    <Door title={awaits ? "One more proof" : "Sign in"}>
      <form className="grid gap-4" onSubmit={submit}>
        {awaits ? (
          <TextField
            label={
              factors.includes("totp") ? "Six digits of your authenticator, or a recovery code" : "A recovery code"
            }
            value={code}
            onValue={setCode}
            autoComplete="one-time-code"
            required
          />
        ) : (
          <>
            <TextField
              label="Login"
              value={login}
              onValue={setLogin}
              autoComplete="username"
              autoCapitalize="none"
              spellCheck={false}
              required
            />
            <TextField
              label="Password"
              type="password"
              value={password}
              onValue={setPassword}
              autoComplete="current-password"
              required
            />
          </>
        )}
        {error ? <p role="alert">{error.message}</p> : null}
        <Button type="submit" kind="primary" disabled={enter.isPending || prove.isPending} className="h-10">
          {awaits ? "Prove it" : "Sign in"}
        </Button>
        {awaits && factors.includes("passkey") ? (
          <Button
            why={HAS_PASSKEYS ? undefined : "This browser does not know passkeys."}
            disabled={prove.isPending}
            onClick={() => prove.mutate("passkey")}
            className="h-10"
          >
            Use a passkey
          </Button>
        ) : null}
      </form>
    </Door>
  );
}

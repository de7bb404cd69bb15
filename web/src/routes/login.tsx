import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { Door, Field, INPUT } from "@/features/door";
import { answered, api } from "@/shared/api/client";
import { Button } from "@/shared/ui/Button";

export const Route = createFileRoute("/login")({
  validateSearch: (said: Record<string, unknown>): { next?: string } => {
    const next = placeOfOurs(said.next);
    return next === null ? {} : { next };
  },
  component: Login,
});

/** A path of ours: one slash, and what follows is no host. */
export function placeOfOurs(said: unknown): string | null {
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
    mutationFn: () =>
      answered(
        api.POST("/api/v1/session/factor", {
          body: { kind: /^\d{6}$/.test(code.trim()) ? "totp" : "recovery_code", value: code.trim() },
        }),
      ),
    onSuccess: done,
  });
  const awaits = enter.data?.awaits_factor === true;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (awaits) prove.mutate();
    else enter.mutate();
  };
  const error = awaits ? prove.error : enter.error;
  return (
    <Door title={awaits ? "One more proof" : "Sign in"}>
      <form className="grid gap-4" onSubmit={submit}>
        {awaits ? (
          <Field label="Six digits of your authenticator, or a recovery code">
            <input
              value={code}
              onChange={(e) => setCode(e.target.value)}
              autoComplete="one-time-code"
              required
              className={INPUT}
            />
          </Field>
        ) : (
          <>
            <Field label="Login">
              <input
                value={login}
                onChange={(e) => setLogin(e.target.value)}
                autoComplete="username"
                autoCapitalize="none"
                spellCheck={false}
                required
                className={INPUT}
              />
            </Field>
            <Field label="Password">
              <input
                type="password"
                value={password}
                onChange={(e) => setPassword(e.target.value)}
                autoComplete="current-password"
                required
                className={INPUT}
              />
            </Field>
          </>
        )}
        {error ? <p role="alert">{error.message}</p> : null}
        <Button type="submit" kind="primary" disabled={enter.isPending || prove.isPending} className="h-10">
          {awaits ? "Prove it" : "Sign in"}
        </Button>
      </form>
    </Door>
  );
}

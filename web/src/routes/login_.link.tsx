import { useMutation, useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { Door } from "@/features/door";
import { answered, api } from "@/shared/api/client";
import { Button } from "@/shared/ui/Button";
import { TextField } from "@/shared/ui/Field";
import { Failed } from "@/shared/ui/Panel";

export const Route = createFileRoute("/login_/link")({ component: OneTimeLink });

/** A one-time link: the secret is the fragment, which no server sees, and leaves the address at once. */
function OneTimeLink() {
  const [secret] = useState(() => location.hash.slice(1));
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  useEffect(() => history.replaceState(history.state, "", location.pathname), []);
  const holder = useQuery({
    queryKey: ["link"],
    queryFn: () => answered(api.POST("/api/v1/session/link", { body: { secret } })),
    retry: false,
    refetchInterval: false,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const set = useMutation({
    mutationFn: () => answered(api.POST("/api/v1/session/link/password", { body: { secret, password } })),
    onSuccess: () => location.replace("/login"),
  });
  if (holder.isError) {
    return (
      <Door title="This link">
        <Failed error={holder.error} />
      </Door>
    );
  }
  return (
    <Door title="Choose a password">
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          set.mutate();
        }}
      >
        <p>
          {holder.data ? (
            <>
              For <strong>{holder.data.login}</strong>. Then sign in with it.
            </>
          ) : (
            "…"
          )}
        </p>
        <TextField
          label="Password"
          type="password"
          value={password}
          onValue={setPassword}
          autoComplete="new-password"
          required
        />
        <TextField
          label="Once more"
          type="password"
          value={again}
          onValue={setAgain}
          autoComplete="new-password"
          required
        />
        {again && again !== password ? <p role="alert">The two are not the same.</p> : null}
        {set.isError ? <p role="alert">{set.error.message}</p> : null}
        <Button
          type="submit"
          kind="primary"
          disabled={!password || again !== password || set.isPending || set.isSuccess}
          className="h-10"
        >
          Keep this password
        </Button>
      </form>
    </Door>
  );
}

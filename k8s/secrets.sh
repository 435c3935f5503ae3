#!/usr/bin/env bash
# Makes the Secrets of an installation with PostgreSQL in the cluster, with new random passwords. Those that are there
# stay as they are. With servers of your own, make satfields-ledger and satfields-dagster yourself (docs/how-to/deploy-on-kubernetes.md).
set -euo pipefail
: "${NAMESPACE:=satfields}" "${KUBECTL:=kubectl}"

there() { $KUBECTL --namespace "$NAMESPACE" get secret "$1" > /dev/null 2>&1; }
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# Values go by standard input, where no list of processes shows them.
make_secret() {
    local name=$1; shift
    { printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\nstringData:\n' "$name"; printf '  %s: "%s"\n' "$@"; } |
        $KUBECTL --namespace "$NAMESPACE" create --filename -
}

$KUBECTL get namespace "$NAMESPACE" > /dev/null 2>&1 || $KUBECTL create namespace "$NAMESPACE"
if there satfields-postgresql && there satfields-ledger && there satfields-dagster; then
    echo "the Secrets are there"
    exit
fi
for name in satfields-postgresql satfields-ledger satfields-dagster; do
    if there "$name"; then
        echo "The Secret $name of namespace $NAMESPACE is there, but not all three are: their passwords belong together." >&2
        echo "Make the others with its passwords, or delete it and run this again (an existing database keeps its passwords)." >&2
        exit 1
    fi
done
ledger=$(random) dagster=$(random)
make_secret satfields-postgresql POSTGRES_PASSWORD "$(random)" LEDGER_PASSWORD "$ledger" DAGSTER_PASSWORD "$dagster"
make_secret satfields-ledger SATFIELDS_DATABASE_URL "postgresql://satfields:$ledger@satfields-postgresql/satfields"
make_secret satfields-dagster DAGSTER_POSTGRES_URL "postgresql://dagster:$dagster@satfields-postgresql/dagster"

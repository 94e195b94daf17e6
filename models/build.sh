#!/usr/bin/env bash
# Trains the models of this package and writes them into zeuxis_models: about an hour of CPU time for all.
#   models/build.sh all            models/build.sh digits garments
# Runs go into models/runs, and one that is there is not trained again. Needs zeuxis on the PATH, with its extra `data`.
set -euo pipefail
cd "$(dirname "$0")"
export OMP_NUM_THREADS=1
mkdir -p runs

# NAME LICENSE FAMILY DATA [OPTION...]
build() {
  local name=$1 license=$2 data=$4 run
  shift 2
  run=$(find runs -maxdepth 1 -regex "runs/[0-9]*-$name" | sort | tail -n 1)
  if [ -z "$run" ]; then
    zeuxis train "$@" --seed 0 --threads 1 --out runs --name "$name"
    run=$(find runs -maxdepth 1 -regex "runs/[0-9]*-$name" | sort | tail -n 1)
  fi
  rm -rf "build/$name" "zeuxis_models/$name"
  # Scored as they are shipped: rounded to float16 first.
  zeuxis publish "$run" "$name" --precision fp16 --license "$license" --out "build/$name"
  zeuxis evaluate "build/$name" "$data" --images 5k --out "build/$name"
  zeuxis publish "build/$name" "$name" --out "zeuxis_models/$name"
  cp "zeuxis_models/$name/samples.png" "../docs/pictures/model-$name.png"
}

model() {
  case $1 in
    rbm-digits) build rbm-digits apache-2.0 rbm mnist --steps 10000 ;;
    digits) build digits apache-2.0 vae mnist --likelihood bernoulli --latent-dim 16 --cpu-minutes 2 ;;
    garments) build garments apache-2.0 dcgan fashion-mnist --cpu-minutes 3 ;;
    line-to-colour) build line-to-colour cc-by-sa-4.0 pix2pix line-to-colour --gan-weight 0 --base-channels 16 --cpu-minutes 3.5 ;;
    faces) build faces apache-2.0 dcgan avatars:10000 --augment ada --steps 8200 ;;
    *) echo "there is no model $1; choose from: all rbm-digits digits garments line-to-colour faces" >&2; exit 2 ;;
  esac
}

[ $# -gt 0 ] || { echo "usage: models/build.sh all, or names of models" >&2; exit 2; }
if [ "$1" = all ]; then set -- rbm-digits digits garments line-to-colour faces; fi
for each in "$@"; do model "$each"; done

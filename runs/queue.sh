#!/usr/bin/env bash
# Named training runs in order of worth, for a machine that would otherwise idle: one thread, one run at a time, each resumed by images seen.
#   runs/queue.sh run [DATA_FOLDER]     works through the list (start it in the background); a run that is finished is passed over
#   runs/queue.sh status                one line per run: images seen, images per second, hours left, last losses
#   runs/queue.sh stop                  stops the run in progress, with a checkpoint
# State lives outside the checkout, in $S2ID_QUEUE (by default ~/.local/state/s2id-queue): a clone, so that work in the checkout does not
# touch a run, and a folder per run. A run is resumed with the commit that it began with, and with that commit's line of the list below.
# `finer=ink` reads the fonts in DATA_FOLDER/fonts. THREADS=2 gives a run two threads. If the state was lost, begin a run anew from an exported model: --init FOLDER --set warmup=0.005.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
home=${S2ID_QUEUE:-$HOME/.local/state/s2id-queue}
mkdir -p "$home/runs"

# name | a command of s2id that trains, and its arguments; images, not minutes, so that every stop can be resumed. @ is the state's folder,
# {} that of the data, which is also what a line without --data gets; {}/graphics is what runs/graphics_data.py makes,
# and {}/icons holds the packages of the six sets of emoji (docs/vectors.md).
# exports/long-at-194k: moving average of `train mnist --init mnist-long --images 400000 --lr 1e-3 --set warmup=0.005 --set detail-density=28
# --set detail-share=0.3` after 193,792 images. exports/ink-guided: `s2id guide` of runs/ink/model and the guide of mnist-gpu-a.
runs() {
  cat <<'LIST'
ink | train mnist --init @/exports/long-at-194k --images 250000 --lr 1e-3 --set warmup=0.005 --set detail-density=28 --set detail-share=0.4 --set finer=ink --set finer-share=0.3
graphics | train graphics --data {}/graphics --images 1200000
guided-one | distill @/exports/ink-guided --guidance-only --autoguidance 1.5 --images 400000 --lr 5e-4 --set ema=0.999
scratch-63k | train mnist --images 63000
scratch-250k | train mnist --images 250000
guide-200k | train mnist --images 200000 --set encoder-blocks=3 --set decoder-blocks=3 --set detail-density=24 --set detail-share=0.2
emoji | train emoji --data {}/icons --images 1300000 --set width=192 --set heads=6 --set encoder-blocks=4 --set decoder-blocks=4 --set patch=4 --set lattice=6 --set overlap=true
LIST
}

work() {
  local data=$1
  exec 9>"$home/lock"
  flock -n 9 || { echo "another queue is running (pid $(cat "$home/pid"))"; exit 1; }
  echo $$ >"$home/pid"
  [ -d "$home/clone" ] || git clone -q "$here" "$home/clone"
  local before now commit resume out
  before=$(git -C "$home/clone" rev-parse HEAD)
  git -C "$home/clone" fetch -q "$here" HEAD
  now=$(git -C "$home/clone" rev-parse FETCH_HEAD)
  export OMP_NUM_THREADS=${THREADS:-1} PYTHONPATH="$home/clone/src"
  runs | while IFS='|' read -r name arguments; do
    name=${name// /} out="$home/runs/${name// /}"
    [ -e "$out/finished" ] && continue
    mkdir -p "$out"
    resume=() commit=$now
    if compgen -G "$out/checkpoints/[0-9]*" >/dev/null; then
      resume=(--resume latest) commit=$(cat "$out/commit" 2>/dev/null || echo "$before")
      arguments=$(git -C "$home/clone" show "$commit:runs/queue.sh" | grep "^$name |" | cut -d'|' -f2-)
    fi
    case $arguments in " train "* | " distill "*) ;; *) arguments="train $arguments" ;; esac  # runs begun before lines named their command
    [[ $arguments == *--data* ]] || arguments+=" --data {}"
    arguments=${arguments//@/$home} arguments=${arguments//\{\}/$data}
    echo "$commit" >"$out/commit"
    git -C "$home/clone" checkout -q --detach "$commit"
    # shellcheck disable=SC2086
    if "${PYTHON:-$here/.venv/bin/python}" -m s2id $arguments --out "$out" "${resume[@]}" \
      >>"$out/log" 2>&1 </dev/null 9>&-; then
      [ -d "$out/model" ] && touch "$out/finished"
    else
      echo "$name failed; see $out/log" >&2
    fi
    [ -e "$home/stopping" ] && { rm "$home/stopping"; break; }
  done
}

status() {
  runs | while IFS='|' read -r name arguments; do
    name=${name// /}
    "${PYTHON:-$here/.venv/bin/python}" - "$home/runs/$name" "$name" "$arguments" <<'PY'
import json, pathlib, re, sys
folder, name, arguments = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
wanted = int(re.search(r"--images (\d+)", arguments)[1])
file = folder / "metrics.jsonl"
rows = []
for line in file.read_text().splitlines() if file.is_file() else []:
    try:
        rows.append(json.loads(line))
    except ValueError:
        pass  # a line that a kill cut short
rows = [row for row in rows if "loss" in row]
if not rows:
    print(f"{name:12} waits for {wanted:,} images")
else:
    seen, speed = rows[-1]["images_seen"], rows[-1]["images_per_second"]
    state = "finished" if (folder / "finished").exists() else f"{(wanted - seen) / speed / 3600:.1f} hours left"
    losses = " ".join(f"{row['loss']:.4f}" for row in rows[-3:])
    print(f"{name:12} {seen:,} of {wanted:,} images, {speed:.0f}/s, {state}, losses {losses}")
PY
  done
}

case ${1:-status} in
  run) work "$(cd "${2:-data}" && pwd)" ;;
  status) status ;;
  stop) touch "$home/stopping"; pkill -INT -f "s2id (train|distill) .*$home/runs/" || { rm -f "$home/stopping"; echo "nothing runs"; } ;;
  *) sed -n '2,9p' "$0"; exit 2 ;;
esac

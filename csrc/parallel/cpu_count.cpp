// CPUs that this process may use: affinity mask and cgroup quotas. Asked once by the pool and by default_threads().
#include "parallel/cpu_count.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <exception>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "parallel/affinity.hpp"

namespace flatconv::parallel {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

bool contains(const std::vector<std::string>& parts, const char* part) {
    return std::find(parts.begin(), parts.end(), part) != parts.end();
}

std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// Paths in mountinfo have their blanks, tabs, newlines and backslashes written as \ and three octal digits.
std::string unescape(const std::string& text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        int code = 0;
        if (text[i] == '\\' && i + 3 < text.size() &&
            std::from_chars(&text[i + 1], &text[i + 1] + 3, code, 8).ptr == &text[i + 1] + 3) {
            plain += static_cast<char>(code);
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

enum class Version { v1, v2 };

struct Mount {
    Version version;
    std::string cgroup;  // what is mounted: this cgroup and those below
    std::string point;   // where
};

// The hierarchies that can limit CPU time. See proc_pid_mountinfo(5) for the lines.
std::vector<Mount> cpu_mounts(const std::string& mountinfo) {
    std::vector<Mount> mounts;
    std::ifstream file(mountinfo);
    for (std::string line; std::getline(file, line);) {
        const std::vector<std::string> fields = split(line, ' ');
        const auto dash = std::find(fields.begin(), fields.end(), "-");
        if (fields.size() < 6 || fields.end() - dash < 4) continue;
        const bool v2 = dash[1] == "cgroup2";
        const bool v1 = dash[1] == "cgroup" && contains(split(dash[3], ','), "cpu");
        if (v1 || v2) mounts.push_back({v2 ? Version::v2 : Version::v1, unescape(fields[3]), unescape(fields[4])});
    }
    return mounts;
}

// The cgroup's place below the mount point: "" or "/a/b". A cgroup out of the mount's sight (a container's may be)
// counts as the mounted one itself.
std::string path_below(const Mount& mount, const std::string& cgroup) {
    const std::string prefix = mount.cgroup == "/" ? "" : mount.cgroup;
    const bool visible = cgroup.compare(0, prefix.size() + 1, prefix + "/") == 0 && cgroup != "/";
    return visible && cgroup.find("/..") == std::string::npos ? cgroup.substr(prefix.size()) : "";
}

int directory_cpus(const std::string& directory, Version version) {
    if (version == Version::v1)
        return quota_cpus(first_line(directory + "/cpu.cfs_quota_us"), first_line(directory + "/cpu.cfs_period_us"));
    const std::vector<std::string> words = split(first_line(directory + "/cpu.max"), ' ');
    return words.size() == 2 ? quota_cpus(words[0], words[1]) : unlimited_cpus;
}

std::int64_t positive_or_zero(std::string_view text) noexcept {
    std::int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    return error == std::errc() && stop == end && value > 0 ? value : 0;
}

}  // namespace

int quota_cpus(std::string_view quota, std::string_view period) noexcept {
    const std::int64_t amount = positive_or_zero(quota);
    const std::int64_t unit = positive_or_zero(period);
    if (amount == 0 || unit == 0) return unlimited_cpus;
    const std::int64_t cpus = amount / unit + (amount % unit != 0);
    return static_cast<int>(std::min<std::int64_t>(cpus, unlimited_cpus));
}

int cgroup_cpus(const std::string& root) {
    int least = unlimited_cpus;
    const std::vector<Mount> mounts = cpu_mounts(root + "/proc/self/mountinfo");
    std::ifstream file(root + "/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        // id:controllers:path, where the path may hold colons, and v2 has no controllers
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (!controllers.empty() && !contains(split(controllers, ','), "cpu")) continue;
        const Version version = controllers.empty() ? Version::v2 : Version::v1;
        for (const Mount& mount : mounts) {
            if (mount.version != version) continue;
            const std::string top = root + mount.point;
            std::string directory = top + path_below(mount, line.substr(second + 1));
            least = std::min(least, directory_cpus(directory, version));
            while (directory.size() > top.size()) {
                directory.resize(directory.rfind('/'));
                least = std::min(least, directory_cpus(directory, version));
            }
        }
    }
    return least;
}

int usable_cpus() noexcept {
    const int affine = affinity_cpus();
    const int cpus = affine > 0 ? affine : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    try {
        return std::min(cpus, cgroup_cpus(""));
    } catch (const std::exception&) {
        return cpus;
    }
}

}  // namespace flatconv::parallel
